// Disks of modelled guests that are copied to other files while the guests run.
#include <utility>

#include "sim/host_world.h"

namespace gantry::sim {
namespace {

constexpr Milliseconds kLookAgainMs = 500;

Error not_copied(const char* why) {
  return {.code = ErrorCode::unavailable, .summary = "the disk was not copied", .cause = why, .reason = "copy_failed"};
}

}  // namespace

Result<void> HostWorld::begin_copy(const std::string& vm_id, const port::DiskCopyRequest& request) {
  const auto found = guests.find(vm_id);
  if (found == guests.end() || !owns_disks(found->second) || found->second.state == GuestState::starting) {
    return fail(ErrorCode::conflict, "the guest does not run", "", "", "not_running");
  }
  ModelGuest& guest = found->second;
  if (auto stays = check_stays(guest); !stays) return stays;
  if (guest.frozen || guest.copying) return fail(ErrorCode::unavailable, "the emulator does not answer");
  const auto owner = owner_of(request.copy);
  if (!owner) return fail(owner.error());
  if (*owner != guest.definition.uid) return fail(ErrorCode::permission_denied, "the copy belongs to another user");
  if (const std::string user = user_of(request.copy.volume_id); !user.empty()) {
    trace_.violation("disk " + request.copy.volume_id + " is copied to while " + user + " has it open");
  }
  guest.copying = request;
  note("guest", vm_id + " begins to copy disk " + std::to_string(request.index) + " to " + request.copy.volume_id);
  changed(vm_id);
  const bool slow = !calm && rng_.chance(swarm_.slow_calls, 1'000);
  copy_later(vm_id, guest.process, request.id, static_cast<Milliseconds>(100 + rng_.below(slow ? 25'000 : 3'000)));
  return {};
}

void HostWorld::copy_later(const std::string& vm_id, std::uint64_t process, const std::string& id,
                           Milliseconds delay_ms) {
  scheduler_.at(delay_ms, [this, vm_id, process, id] {
    const ModelGuest* guest = guest_of(vm_id, process);
    if (guest != nullptr && guest->copying && guest->copying->id == id) copy_is_in_step(vm_id, process);
  });
}

// Only with its agent the guest comes to use it.
void HostWorld::copy_is_in_step(const std::string& vm_id, std::uint64_t process) {
  ModelGuest& guest = guests.at(vm_id);
  if (!copy_ended) return;
  if (guest.frozen) return copy_later(vm_id, process, guest.copying->id, kLookAgainMs);
  if (!calm && rng_.chance(swarm_.definite_errors, 1'000)) return end_copy(vm_id, not_copied("the target is full"));
  const port::DiskCopyRequest copied = *std::exchange(guest.copying, std::nullopt);
  port::GuestDisk& disk = guest.definition.disks.at(copied.index);
  deeds_.content[copied.copy.volume_id] = deeds_.content[disk.volume_id];
  deeds_.superseded.insert(disk.volume_id);
  disk.path = copied.copy.path;
  disk.format = copied.copy.format;
  disk.volume_id = copied.copy.volume_id;
  guest.disk_copy_id = copied.id;
  note("guest", vm_id + " uses the copy " + disk.volume_id);
  changed(vm_id);
  copy_ended(vm_id, {});
}

// It goes on with what it had.
void HostWorld::end_copy(const std::string& vm_id, const Error& why) {
  guests.at(vm_id).copying.reset();
  note("guest", vm_id + " has no disk copied: " + why.cause);
  changed(vm_id);
  if (copy_ended) copy_ended(vm_id, fail(why));
}

void HostWorld::stop_copying(const std::string& vm_id) {
  const auto found = guests.find(vm_id);
  if (found == guests.end() || !found->second.copying) return;
  const std::string id = found->second.copying->id;
  scheduler_.at(static_cast<Milliseconds>(1 + rng_.below(200)), [this, vm_id, id] {
    const auto guest = guests.find(vm_id);
    if (guest != guests.end() && guest->second.copying && guest->second.copying->id == id) {
      end_copy(vm_id, not_copied("it was stopped"));
    }
  });
}

void HostWorld::end_found_copies() {
  for (auto& [vm_id, guest] : guests) {
    if (guest.copying) end_copy(vm_id, not_copied("whoever began it is gone"));
  }
}

}  // namespace gantry::sim
