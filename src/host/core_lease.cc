// What the sentinel is asked for, and what it told.
#include <algorithm>

#include "host/core.h"
#include "model/rbd_location.h"
#include "model/state.h"

namespace gantry::host {

// That of the first disk, or of the kernel, for records from before leases; else any that is here.
std::string Core::lease_pool(const VmObject& vm) const {
  const v1::VmSpec& spec = vm.wanted.spec();
  if (!spec.lease_pool().empty()) return spec.lease_pool();
  for (const v1::VmDisk& disk : spec.disks()) {
    const auto volume = table_.volumes.find(disk.volume());
    return volume == table_.volumes.end() ? "" : volume->second.wanted.spec().pool();
  }
  const auto image = table_.images.find(spec.image());
  if (image != table_.images.end()) return image->second.wanted.spec().pool();
  return spec.image().empty() && !table_.pools.empty() ? table_.pools.begin()->first : "";
}

// By their names alone: clients that write to them are to be shut out before this host has seen them.
void Core::add_ceph_images(const VmObject& vm, port::LeaseWish& wish) const {
  for (const v1::VmDisk& disk : vm.wanted.spec().disks()) {
    const auto volume = table_.volumes.find(disk.volume());
    const PoolObject* pool = volume == table_.volumes.end() ? nullptr : find_pool(volume->second.wanted.spec().pool());
    if (pool == nullptr) {
      wish.lacks_images = true;
    } else if (auto location = model::rbd_location(place_of(pool->wanted))) {
      location->image = disk.volume();
      wish.images.push_back(model::to_text(*location));
    }
  }
}

std::optional<port::LeaseWish> Core::lease_wish(const VmObject& vm) const {
  const PoolObject* pool = find_pool(lease_pool(vm));
  if (pool == nullptr) return std::nullopt;
  port::LeaseWish wish;
  wish.vm_id = vm.wanted.meta().id();
  wish.directory = place_of(pool->wanted);
  wish.host_id = options_.host_id;
  wish.epoch = std::max<std::uint64_t>(1, vm.wanted.placement().epoch());
  wish.is_private = !pool->wanted.spec().shared();
  add_ceph_images(vm, wish);
  const v1::VmMove& move = vm.wanted.placement().move();
  const VmRole role = role_of(vm.wanted, options_.host_id);
  if (role == VmRole::arriving) wish.epoch = move.epoch();
  // Newer than whatever was wanted here, also when the guest was to come and did not.
  if (role == VmRole::leaving) wish.epoch = left_epoch(vm.wanted, options_.host_id);
  if (!vm.memory.move.gives || !vm.wanted.placement().has_move()) return wish;
  wish.heir = move.host_id();
  wish.heir_epoch = move.epoch();
  return wish;
}

void Core::tend_lease(const std::string& id, VmObject& vm, const port::GuestObservation& guest) {
  const VmRole role = role_of(vm.wanted, options_.host_id);
  // It may come again before all that it left is taken away: what is made anew is to be taken away once more.
  if (role != VmRole::leaving && !vm.wanted.meta().has_deletion()) {
    vm.memory.lease_removed = false;
    vm.memory.tpm_deleted = false;
  }
  if (vm.memory.lease_removed || vm.under_way == VmStep::remove_lease) return;
  auto wish = lease_wish(vm);
  if (!wish) return;
  // A guest that was frozen because nobody held its lease cannot be seen before somebody does.
  const bool may_live = guests_known_ ? is_live(guest) : model::holds_memory(vm.wanted);
  // Whether its process serves is not known yet: what the sentinel was told before holds.
  const bool leaves = role == VmRole::leaving;
  if (!guests_known_ && (leaves || vm.wanted.placement().move().postcopy())) return;
  if (leaves && guest.state == port::GuestObservation::State::unknown) return;
  if (role == VmRole::resident) {
    // Of a guest that is gone, only the lease can tell whether it went to another host.
    const bool moves = vm.wanted.placement().has_move();
    wish->hold = wish->heir.empty() && (may_live || moves || vm.under_way == VmStep::start || waits_to_run(id, vm));
    wish->was_given = wish->hold && guest.state == port::GuestObservation::State::received;
  } else {
    wish->incoming = role == VmRole::arriving || may_live;
  }
  wish->serves = serves_memory(guest);
  ports_.sentinel.want(*wish);
}

void Core::need_lease(const VmObject& vm, VmNeeds& needs) const {
  const std::string& id = vm.wanted.meta().id();
  if (const auto found = leases_.find(id); found != leases_.end()) {
    needs.lease = found->second.status;
    needs.is_guarded = !found->second.guard.empty();
    const bool needs_server = vm.wanted.placement().move().postcopy() && found->second.serves_nothing;
    needs.sentinel_is_too_old = found->second.moves_nothing || needs_server;
  }
  const auto wish = lease_wish(vm);
  if (wish && needs.lease.epoch() == wish->epoch) return;
  // What was told is of another placement.
  needs.lease.Clear();
  if (!wish) {
    needs.lease.set_reason("pool " + lease_pool(vm));
  } else if (model::rbd_location(wish->directory)) {
    needs.lease.set_reason(
        "the sentinel to tell of it, which one from before pools of Ceph does not (docs/how-to/upgrade.md)");
  }
}

void Core::on_lease(const port::LeaseObservation& lease) {
  leases_[lease.vm_id] = lease;
  touch();
}

// With what its TPM kept beside it.
void Core::remove_lease(const std::string& id, VmObject& vm) {
  const auto wish = lease_wish(vm);
  if (!wish) {
    vm.under_way = VmStep::none;
    // Its pool may be among what was not told yet.
    if (!assignments_known_) return;
    // Without its pool it cannot be reached, and no other VM ever has this one's id.
    vm.memory.lease_removed = true;
    return touch();
  }
  const std::string task_id = vm.wanted.meta().deletion().task_id();
  if (vm.wanted.spec().tpm() && !vm.memory.tpm_deleted) {
    const auto deleted = vm_done(id, task_id, [](VmObject& object) { object.memory.tpm_deleted = true; });
    return ports_.storage.delete_tpm(pool_request(lease_pool(vm)), id, deleted);
  }
  ports_.sentinel.remove(*wish, vm_done(id, task_id, [](VmObject& object) { object.memory.lease_removed = true; }));
}

}  // namespace gantry::host
