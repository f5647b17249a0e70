#include "control/disk_moves.h"

#include "control/copied_disks.h"
#include "control/wording.h"
#include "model/state.h"

namespace gantry::control {
namespace {

// It stays where it is. Of a VM that is being deleted both go with it.
void end_move_task(MachineContext& context, const v1::Vm& vm, const v1::Problem& told) {
  const v1::VmDiskMove& move = vm.placement().disk_move();
  const auto* found = context.draft.find<v1::Task>(move.task_id());
  if (found == nullptr || model::is_ended(found->state())) return;
  v1::Task& task = context.draft.edit<v1::Task>(move.task_id());
  const bool cancelled = task.cancel_requested() || vm.meta().has_deletion();
  end_task(task, cancelled ? v1::Task::CANCELLED : v1::Task::FAILED, context.now);
  if (cancelled) return;
  *task.mutable_problem() = move.has_problem() ? move.problem()
                            : !told.summary().empty()
                                ? told
                                : unexplained("volume \"" + task.target_name() + "\" was not moved");
}

}  // namespace

void cancel_disk_move(v1::Vm& vm, const v1::Problem& why) {
  v1::VmDiskMove& move = *vm.mutable_placement()->mutable_disk_move();
  move.set_cancelled(true);
  if (!why.summary().empty()) *move.mutable_problem() = why;
  vm.mutable_meta()->set_generation(vm.meta().generation() + 1);
}

const v1::VmMoveStatus& disk_move_word(const v1::Vm& vm) {
  static const v1::VmMoveStatus kNone;
  const v1::VmStatus& status = vm.status();
  const bool says = status.host_id() == vm.placement().host_id() &&
                    status.disk_move().task_id() == vm.placement().disk_move().task_id();
  return says ? status.disk_move() : kNone;
}

void run_disk_move(MachineContext& context, const std::string& id) {
  Draft& draft = context.draft;
  const auto* vm = draft.find<v1::Vm>(id);
  if (vm == nullptr || !vm->placement().has_disk_move()) return;
  const v1::VmDiskMove move = vm->placement().disk_move();
  if (vm->meta().has_deletion()) return end_move_task(context, *vm, {});
  const v1::VmMoveStatus word = disk_move_word(*vm);
  if (word.phase() == v1::VmMoveStatus::GIVEN) {
    v1::Vm& switched = draft.edit<v1::Vm>(id);
    switch_to_copy(draft, switched, move.disk(), move.task_id(), context.now);
    switched.mutable_placement()->clear_disk_move();
  } else if (word.phase() != v1::VmMoveStatus::FAILED) {
    return;
  } else if (!move.cancelled() || !model::is_observed(*vm)) {
    // Another run of its agent might begin anew, which must not be while the copy is deleted.
    if (!move.cancelled()) cancel_disk_move(draft.edit<v1::Vm>(id), word.problem());
  } else {
    end_move_task(context, *vm, word.problem());
    drop_copy(draft, move.disk(), move.task_id(), context.now);
    draft.edit<v1::Vm>(id).mutable_placement()->clear_disk_move();
  }
}

}  // namespace gantry::control
