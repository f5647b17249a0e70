// Admission of moves of a disk to another pool, while its guest runs.
#include "control/admission.h"
#include "control/admit_move.h"
#include "control/admit_volume.h"
#include "control/copied_disks.h"
#include "control/placement.h"
#include "control/pool_hosts.h"
#include "model/state.h"

namespace gantry::control {
namespace {

tl::unexpected<Error> refuse(const v1::Volume& volume, std::string cause, std::string next_step, const char* reason) {
  return fail(ErrorCode::conflict, "volume \"" + volume.meta().name() + "\" cannot be moved", std::move(cause),
              std::move(next_step), reason);
}

// Whose disk it is, if its guest can be let copy it now.
Result<const v1::Vm*> find_user(const View& view, const v1::Volume& volume) {
  const auto users = view.users_of_kind<v1::Vm>(volume.meta().id());
  const auto* vm = users.empty() ? nullptr : view.find<v1::Vm>(users.front());
  if (vm == nullptr) {
    return refuse(volume, "it is a disk of no VM", "only a disk of a guest that runs can be moved", "vm_not_running");
  }
  if (vm->meta().has_deletion()) {
    return refuse(volume, "VM \"" + vm->meta().name() + "\", whose disk it is, is being deleted", "", "deleting");
  }
  if (auto runs = check_runs(view, *vm); !runs) {
    Error& why = runs.error();
    return refuse(volume, "VM \"" + vm->meta().name() + "\", whose disk it is: " + why.cause, why.next_step,
                  why.reason.c_str());
  }
  for (const v1::VmDisk& disk : vm->spec().disks()) {
    if (disk.volume() == volume.meta().id() && disk.read_only()) {
      return refuse(volume, "VM \"" + vm->meta().name() + "\" has it read-only", "copy it while nobody uses it",
                    "read_only");
    }
  }
  return vm;
}

Result<const v1::Pool*> find_target(const Change& change, const std::string& wanted, const v1::Volume& volume,
                                    const v1::Vm& vm) {
  auto found = change.find<v1::Pool>(wanted);
  if (!found) return found;
  const View& view = change.view();
  const v1::Pool& pool = **found;
  const std::string& host_id = vm.placement().host_id();
  if (pool.meta().id() == volume.spec().pool()) {
    return refuse(volume, "it is in pool \"" + pool.meta().name() + "\" already", "name another pool", "already_there");
  }
  const std::string host = "host \"" + host_name(view, host_id) + "\", where VM \"" + vm.meta().name() + "\" runs, ";
  if (!has_pool(view, host_id, pool)) {
    return refuse(volume, host + "does not have " + pool_text(view, pool),
                  "name a pool of that host, or a shared one: gantry pool list", "no_host_fits");
  }
  const bool own = !pool.spec().shared();
  const std::string obstacle = own ? pool.status().problem().summary() : pool_obstacle(pool, host_id);
  if (!obstacle.empty() || (own && pool.status().state() != v1::PoolStatus::READY)) {
    return refuse(volume, host + "cannot use " + pool_text(view, pool) + (obstacle.empty() ? "" : ": " + obstacle),
                  "see \"gantry pool list\"", "pool_not_ready");
  }
  return found;
}

void warn_of_consequences(Change& change, const v1::Volume& volume, const v1::Pool& pool, const v1::Vm& vm) {
  const std::uint64_t takes = volume.status().allocation_bytes();
  const std::uint64_t free = pool.status().available_bytes();
  if (!pool.spec().shared() && takes > free) {
    change.warn("pool " + pool.meta().name() + " has " + model::bytes_text(free) + " free; the volume takes " +
                model::bytes_text(takes) + " where it is, and perhaps less there");
  }
  const auto* from = change.view().find<v1::Pool>(volume.spec().pool());
  if (from != nullptr && from->spec().shared() && !pool.spec().shared()) {
    change.warn("VM " + vm.meta().name() + " is bound to host " + host_name(change.view(), vm.placement().host_id()) +
                " from then on: no other host has pool " + pool.meta().name());
  }
}

}  // namespace

Result<void> move_volume(Change& change, const v1::MoveVolumeRequest& request) {
  auto target = change.target<v1::Volume>("volume.move", request.id());
  if (!target) return fail(std::move(target.error()));
  const v1::Volume& volume = **target;
  GANTRY_CHECK(refuse_copied(change.view(), volume));
  const auto vm = find_user(change.view(), volume);
  if (!vm) return fail(vm.error());
  const auto pool = find_target(change, request.pool(), volume, **vm);
  if (!pool) return fail(pool.error());
  const auto disk = make_copy(change, volume, **pool, (*vm)->placement().host_id());
  if (!disk) return fail(disk.error());
  warn_of_consequences(change, volume, **pool, **vm);
  v1::Vm& user = change.draft.edit<v1::Vm>((*vm)->meta().id());
  // Of old records it was that of the first disk, which may be this one.
  user.mutable_spec()->set_lease_pool(lease_pool(change.draft, user.spec()));
  v1::VmDiskMove& move = *user.mutable_placement()->mutable_disk_move();
  move.set_task_id(change.task_id());
  *move.mutable_disk() = *disk;
  move.set_bytes_per_second_max(request.bytes_per_second_max());
  const std::string limit = request.bytes_per_second_max() == 0
                                ? ""
                                : ", " + model::bytes_text(request.bytes_per_second_max()) + " each second at most";
  change.step("copy volume " + volume.meta().name() + " to it while the guest of VM " + (*vm)->meta().name() + " runs" +
              limit);
  change.step(
      "let the guest use the copy, which has the volume's name from then on, and delete what it was copied from");
  return {};
}

}  // namespace gantry::control
