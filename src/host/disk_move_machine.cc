#include "host/disk_move_machine.h"

#include "host/vm_machine.h"

namespace gantry::host {
namespace {

using State = port::GuestObservation::State;
using MoveStatus = v1::VmMoveStatus;

const v1::VmDiskMove& move_of(const VmInput& input) { return input.wanted.placement().disk_move(); }

v1::Problem move_problem(const VmInput& input, std::string code, const std::string& cause) {
  return make_problem(std::move(code), "the disk of VM \"" + input.wanted.meta().name() + "\" was not moved", cause, "",
                      input.now);
}

// Why it is given up; nothing: there is no reason to.
std::optional<v1::Problem> problem_of(const VmInput& input) {
  const v1::VmDiskMove& move = move_of(input);
  if (move.cancelled()) {
    return move.has_problem() ? move.problem() : move_problem(input, "cancelled", "it was cancelled");
  }
  if (input.needs.copy_problem) return input.needs.copy_problem;
  // That ended the copy, too.
  if (!is_live(input.guest)) return move_problem(input, "vm_not_running", "its guest has ended");
  if (input.memory.disk_move.problem) return input.memory.disk_move.problem;
  const bool runs = input.guest.state == State::running || input.guest.state == State::paused;
  if (runs && !wants_disk_copy(input)) {
    return move_problem(input, "superseded", "something else was asked of its guest meanwhile");
  }
  return std::nullopt;
}

}  // namespace

void refresh_disk_move(DiskMoveMemory& memory, const v1::Vm& wanted) {
  const std::string& task_id = wanted.placement().disk_move().task_id();
  if (memory.task_id == task_id) return;
  memory = {};
  memory.task_id = task_id;
}

bool has_disk_move(const VmInput& input) {
  return input.role == VmRole::resident && input.wanted.placement().has_disk_move();
}

bool wants_disk_copy(const VmInput& input) {
  return has_disk_move(input) && !move_of(input).cancelled() && is_left_running(input);
}

std::optional<VmPlan> plan_disk_move(const VmInput& input) {
  const bool is_over = input.memory.disk_move.problem || input.guest.disk_copy_id == move_of(input).task_id();
  const bool ready = input.guest.state == State::running && !input.guest.copies_disk && input.needs.copy_ready;
  if (!wants_disk_copy(input) || is_over || !ready) return std::nullopt;
  return VmPlan{.step = VmStep::copy_disk};
}

MoveStatus disk_move_status(const VmInput& input) {
  MoveStatus status;
  if (!has_disk_move(input)) return status;
  const std::string& task_id = move_of(input).task_id();
  status.set_task_id(task_id);
  // Nobody can look now which of the two the guest uses.
  if (input.guest.state == State::unknown) return status;
  if (input.under_way == VmStep::copy_disk || input.guest.copies_disk) {
    status.set_phase(MoveStatus::COPYING);
    *status.mutable_progress() = input.memory.disk_move.progress;
  } else if (input.guest.disk_copy_id == task_id) {
    status.set_phase(MoveStatus::GIVEN);
  } else if (const auto problem = problem_of(input)) {
    status.set_phase(MoveStatus::FAILED);
    *status.mutable_problem() = *problem;
  } else {
    status.mutable_progress()->set_phase("waiting for the copy to be made");
  }
  return status;
}

}  // namespace gantry::host
