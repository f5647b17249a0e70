#include "host/vm_machine.h"

namespace gantry::host {
namespace {

using State = port::GuestObservation::State;
constexpr const char* kLostInMove = "guest_lost_in_move";

void set_exit_problem(const VmInput& input, v1::VmStatus& status) {
  const v1::VmExit& exit = input.guest.exit;
  const bool crashed = exit.reason() == v1::VmExit::CRASH;
  // With the move, what is remembered of it is over; what it did to its guest stays so.
  const v1::VmStatus& told = input.wanted.status();
  if (crashed && told.problem().code() == kLostInMove && told.exit().boot_id() == exit.boot_id()) {
    *status.mutable_problem() = told.problem();
    return;
  }
  v1::Problem& problem = *status.mutable_problem();
  *problem.mutable_since() = exit.at();
  problem.set_cause(exit.last_words());
  if (crashed && input.memory.move.fetching) {
    problem.set_code(kLostInMove);
    problem.set_summary("VM \"" + input.wanted.meta().name() + "\" was lost while its memory went to another host");
    problem.set_next_step("start it: its disks are as they were when it was lost, as after a loss of power");
    return;
  }
  problem.set_code(crashed ? "guest_crashed" : "start_failed");
  problem.set_summary((crashed ? "the hypervisor process of VM \"" : "cannot start VM \"") +
                      input.wanted.meta().name() + (crashed ? "\" ended unexpectedly" : "\""));
  problem.set_next_step("see the cause, then start the VM again");
}

// Of a boot that is over and was wanted to run.
v1::VmStatus::State ended_state(const VmInput& input, v1::VmStatus& status) {
  switch (input.guest.exit.reason()) {
    case v1::VmExit::CRASH: set_exit_problem(input, status); return v1::VmStatus::CRASHED;
    case v1::VmExit::START_FAILED:
      if (!status.has_problem()) set_exit_problem(input, status);
      status.set_failed_operation_id(input.guest.boot_id);
      return v1::VmStatus::FAILED;
    default: return v1::VmStatus::STOPPED;
  }
}

v1::VmStatus::State wanted_off_state(const VmInput& input, v1::VmStatus& status) {
  if (input.guest.state == State::ended || !input.needs.problem) return v1::VmStatus::STOPPED;
  status.set_failed_operation_id(input.wanted.spec().boot_id());
  return v1::VmStatus::FAILED;
}

v1::VmStatus::State wanted_on_state(const VmInput& input, const VmPlan& plan, v1::VmStatus& status) {
  const std::string& boot_id = input.wanted.spec().boot_id();
  if (input.guest.state == State::ended && input.guest.boot_id == boot_id) return ended_state(input, status);
  if (status.failed_operation_id() == boot_id && !boot_id.empty()) return v1::VmStatus::FAILED;
  const bool starts = plan.step == VmStep::start || input.under_way == VmStep::start;
  return starts ? v1::VmStatus::STARTING : v1::VmStatus::PROVISIONING;
}

v1::VmStatus::State live_state(const VmInput& input) {
  const v1::VmSpec& spec = input.wanted.spec();
  if (input.guest.state == State::unknown && spec.power() != v1::VmSpec::STOPPED) return v1::VmStatus::STARTING;
  if (spec.power() == v1::VmSpec::STOPPED || input.guest.boot_id != spec.boot_id()) return v1::VmStatus::STOPPING;
  if (input.guest.state == State::starting || input.guest.state == State::received) return v1::VmStatus::STARTING;
  const bool stands_still = input.guest.state == State::paused || is_held_by_sentinel(input.needs.lease);
  return stands_still ? v1::VmStatus::PAUSED : v1::VmStatus::RUNNING;
}

void set_problem(const VmInput& input, v1::VmStatus& status) {
  const VmMemory& memory = input.memory;
  const v1::VmSpec& spec = input.wanted.spec();
  if (memory.trouble) {
    *status.mutable_problem() = memory.trouble->problem;
    const std::string& operation_id = memory.trouble->operation_id;
    const bool current = operation_id == spec.boot_id() || operation_id == spec.reset_id() ||
                         operation_id == input.wanted.meta().deletion().task_id();
    if (memory.trouble->definite && current) status.set_failed_operation_id(operation_id);
  } else if (input.needs.problem) {
    *status.mutable_problem() = *input.needs.problem;
  }
}

// What QEMU was told to hold, or cannot answer for, is told by the lease.
void set_lease_problem(const VmInput& input, v1::VmStatus& status) {
  const v1::LeaseStatus& lease = input.needs.lease;
  if (!is_held_by_sentinel(lease) || !is_live(input.guest)) return;
  const std::string name = "VM \"" + input.wanted.meta().name() + "\"";
  v1::Problem& problem = *status.mutable_problem();
  problem.Clear();
  problem.set_code("lease_lapsed");
  problem.set_summary(name + " stands still: this host may not run it now");
  problem.set_cause(lease.reason());
  problem.set_next_step("make its pool work again: the guest then goes on by itself");
}

}  // namespace

std::optional<v1::VmStatus> vm_status(const VmInput& input, const VmPlan& plan, const std::string& host_id) {
  if (input.role == VmRole::leaving) return std::nullopt;
  if (input.role == VmRole::arriving) {
    v1::VmStatus status;
    *status.mutable_move() = target_status(input, plan);
    return status;
  }
  if (may_be_given(input)) return std::nullopt;
  if (is_given(input)) {
    // What became of the process here says nothing of the guest any more.
    v1::VmStatus status = input.wanted.status();
    // The other host knows by this alone which reset was done, and the manager may not have heard of it.
    status.set_reset_id(last_reset(input.wanted, input.guest));
    *status.mutable_move() = source_status(input);
    return status;
  }
  if (input.needs.unknown && input.guest.state == State::absent && !input.memory.trouble) return std::nullopt;
  v1::VmStatus status;
  const port::GuestObservation& guest = input.guest;
  status.set_host_id(host_id);
  const bool unknown = guest.state == State::unknown;
  status.set_boot_id(unknown ? input.wanted.status().boot_id() : guest.boot_id);
  status.set_reset_id(last_reset(input.wanted, guest));
  status.set_observed_generation(input.wanted.meta().generation());
  status.set_waiting_for(plan.waiting_for);
  if (guest.exit.reason() != v1::VmExit::NONE) *status.mutable_exit() = guest.exit;
  set_problem(input, status);
  if (is_held(guest) || unknown) *status.mutable_problem() = guest.problem;
  if (input.needs.lease.state() != v1::LeaseStatus::NONE) *status.mutable_lease() = input.needs.lease;
  set_lease_problem(input, status);
  if (v1::VmMoveStatus move = source_status(input); !move.task_id().empty()) *status.mutable_move() = std::move(move);
  if (v1::VmMoveStatus move = disk_move_status(input); !move.task_id().empty()) {
    *status.mutable_disk_move() = std::move(move);
  }
  if (is_live(guest)) {
    status.set_booted_cpus(guest.cpus);
    status.set_booted_memory_mib(guest.memory_mib);
    if (guest.state != State::starting && !unknown) *status.mutable_guest() = guest.guest;
    status.set_accelerator(guest.accelerator);
    if (guest.started_unix_ms != 0) status.mutable_started_at()->set_seconds(guest.started_unix_ms / 1000);
  }
  if (input.wanted.meta().has_deletion()) {
    status.set_state(status.failed_operation_id().empty() ? v1::VmStatus::DELETING : v1::VmStatus::FAILED);
  } else if (is_live(guest)) {
    status.set_state(live_state(input));
  } else if (input.wanted.spec().power() == v1::VmSpec::STOPPED) {
    status.set_state(wanted_off_state(input, status));
  } else {
    status.set_state(wanted_on_state(input, plan, status));
  }
  // Cleaning up behind a guest that is off keeps nobody waiting.
  const bool off = status.state() == v1::VmStatus::STOPPED || status.state() == v1::VmStatus::CRASHED ||
                   status.state() == v1::VmStatus::FAILED;
  if (off && !input.wanted.meta().has_deletion()) status.clear_waiting_for();
  return status;
}

}  // namespace gantry::host
