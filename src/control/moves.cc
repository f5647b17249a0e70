#include "control/moves.h"

#include <algorithm>
#include <optional>

#include "control/change.h"
#include "control/copied_disks.h"
#include "control/keepers.h"
#include "control/move_storage.h"
#include "control/observations.h"
#include "control/placement.h"
#include "control/printable.h"
#include "control/vm_hosts.h"
#include "control/wording.h"
#include "model/state.h"

namespace gantry::control {
namespace {

std::string quoted_host(const Draft& draft, const std::string& host_id) {
  return "host \"" + name_of_host(draft, host_id) + "\"";
}

std::string not_moved(const v1::Vm& vm) { return "VM \"" + vm.meta().name() + "\" was not moved"; }

// What the source says of the move under way.
const v1::VmMoveStatus& source_word(const v1::Vm& vm) {
  static const v1::VmMoveStatus kNone;
  const v1::VmStatus& status = vm.status();
  const bool says =
      status.host_id() == vm.placement().host_id() && status.move().task_id() == vm.placement().move().task_id();
  return says ? status.move() : kNone;
}

std::string wanted_otherwise(const v1::Vm& vm) {
  if (vm.spec().power() == v1::VmSpec::STOPPED) return "it was stopped meanwhile";
  if (vm.spec().power() == v1::VmSpec::PAUSED) return "it was paused meanwhile";
  if (vm.status().boot_id() != vm.spec().boot_id()) return "it was restarted meanwhile";
  if (model::boot_ended(vm)) return "its guest ended meanwhile";
  return {};
}

// Why the source is to keep the guest, should it still have it.
std::optional<v1::Problem> obstacle(MachineContext& context, const v1::Vm& vm) {
  if (const std::string why = wanted_otherwise(vm); !why.empty())
    return make_problem("vm_changed", not_moved(vm), why, "");
  const v1::VmMove& move = vm.placement().move();
  const std::string target = quoted_host(context.draft, move.host_id());
  if (move.target().phase() == v1::VmMoveStatus::FAILED) {
    if (!move.target().problem().summary().empty()) return move.target().problem();
    return make_problem("failed", not_moved(vm), target + " could not take it and did not say why",
                        "see the log of gantryd on that host");
  }
  const auto* host = context.draft.find<v1::Host>(move.host_id());
  if (host == nullptr)
    return make_problem("host_leaving", not_moved(vm), target + " left the cluster", "move it to another host");
  // Once everything of the guest is there, nothing more is asked of that host's agent.
  if (move.target().phase() == v1::VmMoveStatus::ARRIVED || !is_lost(context, *host, vm.meta().id())) {
    return std::nullopt;
  }
  return make_problem("host_lost", not_moved(vm), target + " is not connected any more", "move it to another host");
}

// On a shared pool it may be another's by the time that it is taken away: a record there stays.
std::string removable_lease(const Draft& draft, const std::string& pool_id) {
  const auto* pool = draft.find<v1::Pool>(pool_id);
  return pool == nullptr || pool->spec().shared() ? std::string() : pool_id;
}

// The guest is the target's. The source keeps its word in the status until the target has one.
void finish(MachineContext& context, v1::Vm& vm) {
  Draft& draft = context.draft;
  v1::VmPlacement& placement = *vm.mutable_placement();
  const v1::VmMove move = placement.move();
  placement.set_reason("it was moved there from " + quoted_host(draft, placement.host_id()));
  leave_host(placement, placement.host_id(),
             move.lease_pool().empty() ? "" : removable_lease(draft, vm.spec().lease_pool()));
  *vm.mutable_spec() = spec_there(vm);
  for (const v1::CopiedDisk& disk : move.disks()) switch_to_copy(draft, vm, disk, move.task_id(), context.now);
  placement.set_host_id(move.host_id());
  placement.set_epoch(move.epoch());
  placement.set_moved_by(move.task_id());
  placement.clear_move();
  // That no process of it is left at the source is no end of its boot.
  v1::VmStatus& status = *vm.mutable_status();
  status.set_state(v1::VmStatus::STARTING);
  status.set_waiting_for(quoted_host(draft, move.host_id()) + " to let the guest go on");
  status.clear_exit();
  // A reset that failed is over at the target too.
  if (!vm.spec().reset_id().empty() && status.failed_operation_id() == vm.spec().reset_id()) return;
  status.clear_problem();
  status.clear_failed_operation_id();
}

// The guest stays where it is. Its task says why, unless the VM is being deleted: the task machine knows that.
void give_up(MachineContext& context, v1::Vm& vm) {
  v1::VmPlacement& placement = *vm.mutable_placement();
  const v1::VmMove move = placement.move();
  const v1::Problem told = source_word(vm).problem();
  // Of a VM that was given up with its host nobody else has the lease.
  const bool abandoned = placement.host_id().empty() && move.lease_pool().empty();
  leave_host(placement, move.host_id(),
             abandoned ? lease_pool(context.draft, vm.spec()) : removable_lease(context.draft, move.lease_pool()));
  for (const v1::CopiedDisk& disk : move.disks()) drop_copy(context.draft, disk, move.task_id(), context.now);
  placement.clear_move();
  // The target's name came to the pool late, after the guest had gone on at the source: nobody has that lease.
  if (vm.status().lease().state() == v1::LeaseStatus::LOST) placement.set_epoch(next_epoch(placement));
  const auto* found = context.draft.find<v1::Task>(move.task_id());
  if (vm.meta().has_deletion() || found == nullptr || model::is_ended(found->state())) return;
  v1::Task& task = context.draft.edit<v1::Task>(move.task_id());
  if (task.cancel_requested()) return end_task(task, v1::Task::CANCELLED, context.now);
  end_task(task, v1::Task::FAILED, context.now);
  // By postcopy some of it had gone already.
  const bool is_lost_by_it = vm.status().problem().code() == "guest_lost_in_move";
  *task.mutable_problem() = is_lost_by_it             ? vm.status().problem()
                            : move.has_problem()      ? move.problem()
                            : !told.summary().empty() ? told
                                                      : unexplained(not_moved(vm));
}

void run_vm_move(MachineContext& context, const v1::Vm& vm) {
  const std::string& id = vm.meta().id();
  Draft& draft = context.draft;
  const v1::VmMoveStatus::Phase phase = source_word(vm).phase();
  if (phase == v1::VmMoveStatus::GIVEN) return finish(context, draft.edit<v1::Vm>(id));
  // Both hosts end what they have of it.
  if (phase == v1::VmMoveStatus::FAILED || vm.meta().has_deletion()) return give_up(context, draft.edit<v1::Vm>(id));
  if (vm.placement().move().cancelled()) return;
  if (auto problem = obstacle(context, vm)) {
    v1::VmMove& move = *draft.edit<v1::Vm>(id).mutable_placement()->mutable_move();
    move.set_cancelled(true);
    *move.mutable_problem() = std::move(*problem);
  }
}

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

bool is_move_address(const v1::MoveAddress& address) {
  constexpr std::uint32_t kPortMax = 65'535;
  constexpr std::size_t kSecretBytes = 64;
  const std::string& secret = address.secret();
  return is_address(address.host()) && address.port() != 0 && address.port() <= kPortMax &&
         address.disk_port() <= kPortMax && secret.size() == kSecretBytes && std::ranges::all_of(secret, is_hex);
}

// What the source acts upon: no more than it needs, and nothing that is not what it is to be.
v1::VmMoveStatus bounded(const Draft& draft, const v1::Vm& vm, const v1::VmMoveStatus& told) {
  v1::VmMoveStatus next;
  next.set_task_id(told.task_id());
  next.set_phase(told.phase());
  if (told.has_problem()) *next.mutable_problem() = told.problem();
  if (is_move_address(told.address())) {
    *next.mutable_address() = told.address();
    // No host says where another's QEMU is to connect to, nor has it mirror disks that are not to be copied.
    const std::string& host_id = vm.placement().move().host_id();
    const auto* host = draft.find<v1::Host>(host_id);
    next.mutable_address()->set_host(host == nullptr ? "" : host->status().address());
    if (vm.placement().move().disks().empty()) next.mutable_address()->clear_disk_port();
    if (next.address().host().empty()) {
      next.set_phase(v1::VmMoveStatus::FAILED);
      *next.mutable_problem() = make_problem(
          "no_host_address", not_moved(vm),
          "other hosts do not reach " + quoted_host(draft, host_id) + " at any address", "see \"gantry host show\"");
    }
  }
  make_printable(next, {.bytes_max = kStatusTextBytesMax, .lines = model::Lines::several});
  return next;
}

void observe_target(Draft& draft, const v1::Vm& vm, const v1::ObservationMark& mark, const v1::VmMoveStatus& told) {
  const v1::VmMove& move = vm.placement().move();
  if (told.task_id() != move.task_id() || !is_newer(mark, move.target_observed())) return;
  v1::VmMoveStatus next = bounded(draft, vm, told);
  if (to_bytes(next) == to_bytes(move.target())) return;
  v1::VmMove& changed = *draft.edit<v1::Vm>(vm.meta().id()).mutable_placement()->mutable_move();
  *changed.mutable_target() = std::move(next);
  *changed.mutable_target_observed() = mark;
}

}  // namespace

void observe_elsewhere(Draft& draft, const std::string& host_id, const v1::ObservationMark& mark,
                       const v1::Observation& observation) {
  const auto* vm = draft.find<v1::Vm>(observation.id());
  if (vm == nullptr) return;
  if (moves_to(*vm, host_id) && observation.vm().has_move()) {
    return observe_target(draft, *vm, mark, observation.vm().move());
  }
  const v1::LeftHost* left = find_left(*vm, host_id);
  if (left == nullptr || !observation.absent() || observation.left_epoch() != left->epoch()) return;
  forget_left(*draft.edit<v1::Vm>(observation.id()).mutable_placement(), host_id);
}

bool is_of_waiting(const v1::Vm& vm, const std::string& host_id, const v1::VmStatus& status) {
  const std::string& moved_by = vm.placement().moved_by();
  return vm.status().host_id() != host_id && status.state() == v1::VmStatus::UNKNOWN && !moved_by.empty() &&
         status.move().task_id() == moved_by;
}

void run_move(MachineContext& context, const std::string& id) {
  const auto* vm = context.draft.find<v1::Vm>(id);
  if (vm != nullptr && vm->placement().has_move()) return run_vm_move(context, *vm);
  if (context.draft.find<v1::Host>(id) == nullptr) return;
  for (const std::string& vm_id : context.draft.view().users_of_kind<v1::Vm>(id)) {
    const auto* user = context.draft.find<v1::Vm>(vm_id);
    if (user != nullptr && user->placement().has_move()) context.look_again.insert(vm_id);
  }
}

}  // namespace gantry::control
