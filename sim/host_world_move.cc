// Guests that go from one modelled machine to another: what their two processes do, with or without agents.
#include <algorithm>
#include <utility>

#include "sim/host_world.h"

namespace gantry::sim {
namespace {

constexpr Milliseconds kTellEveryMs = 500;

Error broken(const char* why) {
  return {.code = ErrorCode::unavailable, .summary = "the guest was not sent", .cause = why};
}

std::string text(const port::GuestDefinition& guest) {
  std::string text = guest.boot_id + " " + std::to_string(guest.cpus) + " cpus " + std::to_string(guest.memory_mib) +
                     " MiB " + guest.cpu_model + (guest.uefi ? " uefi" : "") +
                     (guest.tpm_directory.empty() ? "" : " tpm");
  for (const port::GuestDisk& disk : guest.disks) {
    text += " " + disk.serial + (disk.read_only ? "(ro)" : "") + std::to_string(disk.bus);
  }
  for (const port::GuestNic& nic : guest.nics) text += " " + nic.mac + "/" + std::to_string(nic.model);
  return text;
}

}  // namespace

std::string boot_key(const std::string& vm_id, const std::string& boot_id) { return vm_id + " " + boot_id; }

bool HostWorld::runs(const ModelGuest& guest) {
  return guest.state == GuestState::running && !(guest.sending && guest.sending->stands);
}

bool HostWorld::owns_disks(const ModelGuest& guest) {
  return guest.state == GuestState::starting || guest.state == GuestState::running || guest.state == GuestState::paused;
}

Result<void> HostWorld::check_stays(const ModelGuest& guest) {
  if (owns_disks(guest) && !guest.sending) return {};
  return fail(ErrorCode::conflict, "the guest is being moved", "", "", "moving");
}

ModelGuest* HostWorld::guest_of(const std::string& vm_id, std::uint64_t process) {
  const auto found = guests.find(vm_id);
  return found == guests.end() || found->second.process != process ? nullptr : &found->second;
}

// Of several machines to which everything of a guest went or from which it did, one goes on with it.
void HostWorld::go_on_from(const std::string& vm_id, const std::string& secret) {
  const auto [first, is_new] = deeds_.went_on.try_emplace(secret, setup.name);
  if (is_new || first->second == setup.name) return;
  trace_.violation("guest " + vm_id + " goes on at both ends of a move: on " + first->second + " and on " + setup.name);
}

// One that ended when everything of it was with another host may begin its boot anew, unless it goes on there.
void HostWorld::note_boot(const std::string& vm_id) {
  ModelGuest& guest = guests[vm_id];
  const std::string key = boot_key(vm_id, guest.definition.boot_id);
  if (std::exchange(guest.went, false) && deeds_.went_on.try_emplace(guest.move_secret, setup.name).second) {
    deeds_.boots.erase(key);
  }
  if (++deeds_.boots[key] > 1) {
    trace_.violation("guest " + vm_id + " booted twice for operation " + guest.definition.boot_id);
  }
}

// ---- the target

Result<void> HostWorld::begin_receive(const port::GuestDefinition& definition, const port::MoveTerms& terms) {
  const std::string& vm_id = definition.vm_id;
  const auto found = guests.find(vm_id);
  if (found != guests.end() && lives(found->second)) {
    trace_.violation("guest " + vm_id + " is awaited where it has a process");
    return fail(ErrorCode::conflict, "it has a process here already", "", "", "guest_process_lives");
  }
  if (auto checked = check_definition(definition); !checked) return checked;
  if (!definition.guard.empty() && !sentinel.guards(vm_id)) {
    return fail(ErrorCode::unavailable, "the sentinel does not guard this virtual machine");
  }
  if (!records_.was_target(vm_id, host_id)) {
    trace_.violation("guest " + vm_id + " is awaited on " + setup.name + ", and nobody moves it there");
  }
  check_memory(definition);
  ModelGuest guest;
  guest.state = GuestState::receiving;
  guest.definition = definition;
  guest.copied_disks = terms.copied_disks;
  guest.postcopy = terms.postcopy;
  guest.process = ++processes_;
  guest.began_ms = scheduler_.now().monotonic_ms;
  std::string number = std::to_string(++deeds_.moves);
  guest.move_secret = std::string(64 - number.size(), '0') + number;
  guests[vm_id] = guest;
  note("guest", vm_id + " is awaited");
  if (!calm && rng_.chance(swarm_.guest_crashes, 1'000)) {
    scheduler_.at(static_cast<Milliseconds>(rng_.below(10'000)), [this, vm_id, process = guest.process] {
      if (!calm) end_receive(vm_id, process);
    });
  }
  changed(vm_id);
  return {};
}

Result<v1::MoveAddress> HostWorld::listen(const std::string& vm_id, std::uint64_t process, const std::string& host) {
  const ModelGuest* guest = guest_of(vm_id, process);
  if (guest == nullptr) return fail(ErrorCode::unavailable, "the process that waited for the guest ended");
  v1::MoveAddress listening;
  listening.set_host(host);
  listening.set_port(49'152);
  if (!guest->copied_disks.empty()) listening.set_disk_port(49'153);
  listening.set_secret(guest->move_secret);
  return listening;
}

// It never ran here: nothing of it is kept.
void HostWorld::end_receive(const std::string& vm_id, std::uint64_t process) {
  const ModelGuest* guest = guest_of(vm_id, process);
  if (guest == nullptr) return;
  if (guest->state != GuestState::receiving && guest->state != GuestState::received) return;
  // All that there was of it may have gone.
  if (guest->state == GuestState::received && !deeds_.went_on.contains(guest->move_secret)) {
    deeds_.boots.erase(boot_key(vm_id, guest->definition.boot_id));
  }
  note("guest", vm_id + " is awaited no more");
  const bool fetched = guest->fetching;
  const std::string secret = guest->move_secret;
  guests.erase(vm_id);
  if (fetched) break_fetch(vm_id, secret);
  changed(vm_id);
}

void HostWorld::end_receives() {
  std::map<std::string, std::uint64_t> processes;
  for (const auto& [vm_id, guest] : guests) processes[vm_id] = guest.process;
  for (const auto& [vm_id, process] : processes) end_receive(vm_id, process);
}

void HostWorld::has_come(const std::string& vm_id, std::uint64_t process) {
  ModelGuest* guest = guest_of(vm_id, process);
  if (guest == nullptr || guest->state != GuestState::receiving) return;
  if (guest->frozen) {
    scheduler_.at(kTellEveryMs, [this, vm_id, process] { has_come(vm_id, process); });
    return;
  }
  guest->state = GuestState::received;
  note("guest", vm_id + " has come");
  changed(vm_id);
}

// ---- the source

ModelGuest* HostWorld::sent_guest(const std::string& vm_id, std::uint64_t process) {
  ModelGuest* guest = guest_of(vm_id, process);
  return guest == nullptr || !guest->sending ? nullptr : guest;
}

HostWorld* HostWorld::target_of(const std::string& vm_id, const std::string& secret) const {
  for (HostWorld* world : worlds_) {
    const auto guest = world->guests.find(vm_id);
    if (guest == world->guests.end() || guest->second.state != GuestState::receiving) continue;
    if (guest->second.move_secret == secret) return world;
  }
  return nullptr;
}

bool HostWorld::move_breaks(const std::string& vm_id, const ModelGuest& guest) {
  const HostWorld* target = target_of(vm_id, guest.move_secret);
  if (target == nullptr || target->guests.at(vm_id).frozen || guest.frozen || guest.sending->stopped) return true;
  return !calm && rng_.chance(swarm_.transient_errors, 1'000);
}

Result<void> HostWorld::begin_send(const std::string& vm_id, const port::MoveRequest& request) {
  const auto found = guests.find(vm_id);
  if (found == guests.end() || !lives(found->second) || found->second.state == GuestState::starting) {
    return fail(ErrorCode::conflict, "the guest does not run", "", "", "not_running");
  }
  ModelGuest& guest = found->second;
  if (guest.frozen) return fail(ErrorCode::unavailable, "the emulator does not answer");
  if (auto stays = check_stays(guest); !stays) return stays;
  if (!request.copied_disks.empty() && request.target.disk_port() == 0) {
    return fail(broken("the target takes no disks"));
  }
  guest.sending.emplace();
  guest.copied_disks = request.copied_disks;
  guest.postcopy = request.postcopy;
  guest.move_secret = request.target.secret();
  guest.went = false;
  const bool slow = !calm && rng_.chance(swarm_.slow_calls, 1'000);
  const auto takes_ms = static_cast<Milliseconds>(200 + rng_.below(slow ? 25'000 : 4'000));
  note("guest", vm_id + " is sent");
  tell_progress(vm_id, guest.process, scheduler_.now().monotonic_ms, takes_ms);
  scheduler_.at(takes_ms, [this, vm_id, process = guest.process] { stand(vm_id, process); });
  return {};
}

void HostWorld::tell_progress(const std::string& vm_id, std::uint64_t process, Milliseconds began_ms,
                              Milliseconds takes_ms) {
  scheduler_.at(kTellEveryMs, [this, vm_id, process, began_ms, takes_ms] {
    const ModelGuest* guest = sent_guest(vm_id, process);
    const Milliseconds gone_ms = scheduler_.now().monotonic_ms - began_ms;
    if (guest == nullptr || gone_ms >= takes_ms) return;
    port::MoveProgress progress;
    progress.phase = guest->copied_disks.empty() ? "copying memory" : "copying disks";
    progress.percent = static_cast<std::uint32_t>(100 * gone_ms / takes_ms);
    if (send_goes_on) send_goes_on(vm_id, progress);
    tell_progress(vm_id, process, began_ms, takes_ms);
  });
}

void HostWorld::stand(const std::string& vm_id, std::uint64_t process) {
  ModelGuest* guest = sent_guest(vm_id, process);
  if (guest == nullptr) return;
  if (move_breaks(vm_id, *guest)) return end_send(vm_id, broken("the connection broke"));
  guest->sending->stands = true;
  note("guest", vm_id + " stands still, to be sent");
  scheduler_.at(static_cast<Milliseconds>(5 + rng_.below(200)), [this, vm_id, process] { arrive(vm_id, process); });
}

// The two ends see that it is over at moments of their own, and the source may take it for a failure.
void HostWorld::arrive(const std::string& vm_id, std::uint64_t process) {
  ModelGuest* guest = sent_guest(vm_id, process);
  if (guest == nullptr) return;
  if (move_breaks(vm_id, *guest)) return end_send(vm_id, broken("the connection broke at the end"));
  HostWorld& target = *target_of(vm_id, guest->move_secret);
  const ModelGuest& awaited = target.guests.at(vm_id);
  if (text(guest->definition) != text(awaited.definition)) {
    // One that was booted anew since may be another.
    if (guest->began_ms < awaited.began_ms) {
      trace_.violation("guest " + vm_id + " is \"" + text(guest->definition) + "\" and awaited as \"" +
                       text(awaited.definition) + "\"");
    }
    return end_send(vm_id, broken("the other process is another machine"));
  }
  const std::uint64_t process_there = target.guests.at(vm_id).process;
  if (!calm && rng_.chance(swarm_.definite_errors, 1'000)) {
    target.end_receive(vm_id, process_there);
    return end_send(vm_id, broken("the other process could not load it"));
  }
  if (auto copied = copy_disks(*guest, target.guests.at(vm_id)); !copied) return end_send(vm_id, copied.error());
  target.guests.at(vm_id).ignores_acpi = guest->ignores_acpi;
  guest->went = true;
  if (guest->postcopy && (calm || rng_.chance(2, 3))) begin_fetch(vm_id, target);
  scheduler_.at(static_cast<Milliseconds>(rng_.below(100)),
                [&target, vm_id, process_there] { target.has_come(vm_id, process_there); });
  scheduler_.at(static_cast<Milliseconds>(rng_.below(100)), [this, vm_id, process] { has_gone(vm_id, process); });
}

Result<void> HostWorld::copy_disks(const ModelGuest& guest, ModelGuest& awaited) {
  if (!calm && !guest.copied_disks.empty() && rng_.chance(swarm_.disk_fills, 1'000)) {
    return fail(broken("No space left on device"));
  }
  awaited.copied_from.clear();
  for (const std::size_t position : guest.copied_disks) {
    const std::string& from = guest.definition.disks.at(position).volume_id;
    const std::string& to = awaited.definition.disks.at(position).volume_id;
    if (std::ranges::find(awaited.copied_disks, position) == awaited.copied_disks.end())
      return fail(broken("the target serves no such disk"));
    deeds_.content[to] = deeds_.content[from];
    awaited.copied_from.insert(from);
  }
  return {};
}

void HostWorld::has_gone(const std::string& vm_id, std::uint64_t process) {
  ModelGuest* guest = sent_guest(vm_id, process);
  if (guest == nullptr) return;
  if (!guest->fetching && !calm && rng_.chance(swarm_.transient_errors, 1'000)) {
    return end_send(vm_id, broken("the last word of the other process did not come"));
  }
  guest->sending.reset();
  guest->state = GuestState::sent;
  note("guest", vm_id + " has gone");
  port::MoveProgress progress;
  progress.phase = "copying memory";
  progress.percent = 100;
  progress.downtime_ms = 100;
  progress.total_ms = 1'000;
  if (send_goes_on) send_goes_on(vm_id, progress);
  changed(vm_id);
  if (send_ended) send_ended(vm_id, {});
}

// It goes on here.
void HostWorld::end_send(const std::string& vm_id, const Error& why) {
  ModelGuest& guest = guests.at(vm_id);
  guest.sending.reset();
  note("guest", vm_id + " is not sent: " + why.cause);
  if (std::exchange(guest.went, false)) go_on_from(vm_id, guest.move_secret);
  sentinel.check_runs(vm_id);
  check_runs_alone(vm_id);
  changed(vm_id);
  if (send_ended) send_ended(vm_id, fail(why));
}

void HostWorld::stop_sending(const std::string& vm_id) {
  const auto found = guests.find(vm_id);
  if (found == guests.end() || !found->second.sending) return;
  found->second.sending->stopped = true;
  scheduler_.at(static_cast<Milliseconds>(1 + rng_.below(200)), [this, vm_id, process = found->second.process] {
    const ModelGuest* guest = sent_guest(vm_id, process);
    if (guest != nullptr && guest->sending->stopped && !guest->went) end_send(vm_id, broken("it was stopped"));
  });
}

// ---- both

Result<void> HostWorld::take_over(const std::string& vm_id, bool runs) {
  const auto found = guests.find(vm_id);
  const bool moved =
      found != guests.end() && (found->second.state == GuestState::received || found->second.state == GuestState::sent);
  if (!moved) return fail(ErrorCode::conflict, "it came from no other host, nor went to one", "", "", "not_moved");
  ModelGuest& guest = found->second;
  if (guest.frozen) return fail(ErrorCode::unavailable, "the emulator does not answer");
  const bool came = guest.state == GuestState::received;
  if (!came && !end_fetch_to_go_on(vm_id)) return fail(ErrorCode::unavailable, "the guest is lost");
  check_place(vm_id);
  check_rule(vm_id);
  check_writers(guest.definition);
  go_on_from(vm_id, guest.move_secret);
  guest.went = false;
  guest.state = runs ? GuestState::running : GuestState::paused;
  note("guest", vm_id + (came ? " goes on here" : " goes on here, and went nowhere"));
  if (records_.was_crashed(vm_id, guest.definition.boot_id)) {
    trace_.violation("guest " + vm_id + " goes on, and was told to have crashed");
  }
  for (const std::string& volume : guest.copied_from) deeds_.superseded.insert(volume);
  guest.copied_from.clear();
  write_disks(guest.definition);
  if (came) {
    guest.ran_at_ms = own_time_ms();
    draw_life(vm_id);
  }
  sentinel.check_runs(vm_id);
  check_runs_alone(vm_id);
  changed(vm_id);
  return {};
}

void HostWorld::end_found_moves() {
  std::map<std::string, std::uint64_t> processes;
  for (const auto& [vm_id, guest] : guests) processes[vm_id] = guest.process;
  for (const auto& [vm_id, process] : processes) {
    const ModelGuest* sent = sent_guest(vm_id, process);
    if (sent != nullptr && !sent->went) end_send(vm_id, broken("whoever began it is gone"));
    const ModelGuest* guest = guest_of(vm_id, process);
    // Nobody knows any more with whom it speaks.
    if (guest != nullptr && guest->state == GuestState::receiving) end_receive(vm_id, process);
  }
}

}  // namespace gantry::sim
