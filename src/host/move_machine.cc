#include "host/move_machine.h"

#include <algorithm>

#include "host/vm_machine.h"

namespace gantry::host {
namespace {

using State = port::GuestObservation::State;
using MoveStatus = v1::VmMoveStatus;

VmPlan just(VmStep step) { return VmPlan{.step = step}; }

VmPlan wait_for(std::string what, std::optional<Milliseconds> wake_at_ms = {}) {
  return VmPlan{.step = VmStep::none, .waiting_for = std::move(what), .wake_at_ms = wake_at_ms};
}

VmPlan wait_for_lease(const VmInput& input) {
  const std::string& reason = input.needs.lease.reason();
  return wait_for(reason.empty() ? "its lease" : "its lease: " + reason);
}

const v1::VmMove& move_of(const VmInput& input) { return input.wanted.placement().move(); }

bool has_move(const VmInput& input) { return input.role == VmRole::resident && input.wanted.placement().has_move(); }

// What the target said of the move under way.
MoveStatus::Phase target_phase(const VmInput& input) {
  const v1::VmMove& move = move_of(input);
  return move.target().task_id() == move.task_id() ? move.target().phase() : MoveStatus::NONE;
}

std::string vm_name(const VmInput& input) { return "VM \"" + input.wanted.meta().name() + "\""; }

v1::Problem move_problem(const VmInput& input, std::string code, const std::string& cause) {
  return make_problem(std::move(code), vm_name(input) + " was not moved", cause, "", input.now);
}

v1::Problem lost_problem(const v1::Vm& vm, Now now) {
  return make_problem("guest_lost_in_move", "VM \"" + vm.meta().name() + "\" was lost while it was moved",
                      "the process that had received it ended before it went on",
                      "its disks are as they were when it left the other host: start it, unless it runs again", now);
}

v1::Problem sentinel_problem(const VmInput& input) {
  v1::Problem problem =
      move_problem(input, "sentinel_too_old", "the sentinel of its host is from before guests could move");
  problem.set_next_step("replace it, as docs/how-to/upgrade.md tells: no guest notices");
  return problem;
}

// Why the source gives the move up, once it has its guest again; nothing: it has no reason to.
std::optional<v1::Problem> source_problem(const VmInput& input) {
  if (input.memory.move.problem) return input.memory.move.problem;
  const v1::VmMove& move = move_of(input);
  if (move.cancelled()) {
    return move.has_problem() ? move.problem() : move_problem(input, "cancelled", "it was cancelled");
  }
  if (!is_live(input.guest)) return move_problem(input, "vm_not_running", "its guest has ended");
  const bool waits = input.guest.state == State::running || input.guest.state == State::paused;
  // Once it was sent, nobody could sign its lease over.
  if (waits && input.needs.sentinel_is_too_old) return sentinel_problem(input);
  if (waits && !wants_to_be_sent(input)) {
    return move_problem(input, "superseded", "something else was asked of its guest meanwhile");
  }
  // What the other host has is of the past: this one lost its power since, or saw the end of the sending fail.
  if (waits && target_phase(input) == MoveStatus::ARRIVED) {
    return move_problem(input, "move_interrupted", "its guest went on here when everything of it had gone");
  }
  return std::nullopt;
}

// A guest that stands here, all of which went to the target.
VmPlan plan_sent(const VmInput& input) {
  const MoveMemory& memory = input.memory.move;
#ifdef GANTRY_BREAK_RESUME_AFTER_GIVING
  if (memory.gives) return just(VmStep::take_over);
#endif
  if (memory.gives) return wait_for("its lease to be signed over");
  const bool held = input.needs.lease.state() == v1::LeaseStatus::HELD;
  const bool goes = has_move(input) && !memory.problem && !memory.taken_back && wants_to_be_sent(input) &&
                    !input.needs.sentinel_is_too_old;
  if (goes && target_phase(input) == MoveStatus::ARRIVED) return held ? just(VmStep::give) : wait_for_lease(input);
  const Milliseconds give_up_ms = memory.sent_at_ms.value_or(0) + kSentPatienceMs;
  if (goes && target_phase(input) != MoveStatus::FAILED && input.now.monotonic_ms < give_up_ms) {
    return wait_for("the other host", give_up_ms);
  }
  return held ? just(VmStep::take_over) : wait_for_lease(input);
}

// What keeps the target from making ready, for good.
std::optional<v1::Problem> target_problem(const VmInput& input) {
  const VmMemory& memory = input.memory;
  if (memory.move.problem) return memory.move.problem;
  if (memory.move.address && !is_live(input.guest)) {
    v1::Problem problem = move_problem(input, "move_target_ended", "its process on the other host ended");
    if (!input.guest.exit.last_words().empty())
      problem.set_cause(problem.cause() + ": " + input.guest.exit.last_words());
    return problem;
  }
  // A reset that failed at its source is over.
  const bool failed = memory.trouble && memory.trouble->definite;
  if (failed && memory.trouble->operation_id == input.wanted.spec().boot_id()) return memory.trouble->problem;
  if (input.needs.sentinel_is_too_old && !is_live(input.guest)) return sentinel_problem(input);
  return input.needs.problem;
}

}  // namespace

VmRole role_of(const v1::Vm& vm, const std::string& host_id) {
  const v1::VmPlacement& placement = vm.placement();
  if (placement.host_id() == host_id) return VmRole::resident;
  if (placement.has_move() && placement.move().host_id() == host_id) return VmRole::arriving;
  if (left_epoch(vm, host_id) != 0) return VmRole::leaving;
  return placement.host_id().empty() ? VmRole::resident : VmRole::stranger;
}

const v1::LeftHost& leave_of(const v1::Vm& vm, const std::string& host_id) {
  for (const v1::LeftHost& left : vm.placement().left_hosts()) {
    if (left.host_id() == host_id) return left;
  }
  return v1::LeftHost::default_instance();
}

std::uint64_t left_epoch(const v1::Vm& vm, const std::string& host_id) { return leave_of(vm, host_id).epoch(); }

std::vector<std::size_t> copied_disks(const v1::Vm& vm) {
  std::vector<std::size_t> positions;
#ifdef GANTRY_BREAK_LEAVE_DISKS
  return positions;
#endif
  const auto& copied = vm.placement().move().disks();
  for (int i = 0; i < vm.spec().disks_size(); ++i) {
    const std::string& id = vm.spec().disks(i).volume();
    const bool goes = std::any_of(copied.begin(), copied.end(),
                                  [&](const v1::CopiedDisk& disk) { return disk.volume() == id || disk.copy() == id; });
    if (goes) positions.push_back(static_cast<std::size_t>(i));
  }
  return positions;
}

namespace {

// Of a process that has ended: as it was then, which an agent before this one may have told.
void note_fetching(MoveMemory& memory, const v1::Vm& wanted, const port::GuestObservation& guest, Now now) {
  const v1::VmMoveStatus& told = wanted.status().move();
  if (guest.state == State::unknown) return;
  if (!is_live(guest)) {
    const bool is_over = guest.state == State::ended && told.task_id() == memory.task_id;
    memory.fetching = memory.fetching || (is_over && !memory.task_id.empty() && told.fetching());
    return;
  }
  const bool all_came = memory.fetching && !guest.fetching && memory.went_on_at_ms != 0;
  if (all_came) {
    const auto took_ms = static_cast<std::uint32_t>(now.monotonic_ms - memory.went_on_at_ms);
    memory.figures.set_total_ms(memory.figures.total_ms() + took_ms);
  }
  memory.fetching = guest.fetching;
}

}  // namespace

void refresh_move(MoveMemory& memory, const v1::Vm& wanted, const port::GuestObservation& guest, Now now) {
  const v1::VmPlacement& placement = wanted.placement();
  const std::string& task_id = placement.has_move() ? placement.move().task_id() : placement.moved_by();
  if (memory.task_id != task_id) {
    memory = {};
    memory.task_id = task_id;
  }
  const auto note = [now](std::optional<Milliseconds>& since_ms, bool is_so) {
    if (!is_so) since_ms.reset();
    if (is_so && !since_ms) since_ms = now.monotonic_ms;
  };
  note(memory.sent_at_ms, guest.state == State::sent);
  if (guest.state == State::received && !memory.received_at_ms) memory.received_at_ms = now.monotonic_ms;
  note_fetching(memory, wanted, guest, now);
  // The other host's word is the last of it, until it goes on here.
  const bool went_on = wanted.status().host_id() == placement.host_id();
  const bool is_here = is_live(guest) || guest.state == State::ended;
  if (!placement.has_move() && !task_id.empty() && !went_on && !is_here) memory.lost = true;
}

bool serves_memory(const port::GuestObservation& guest) { return guest.state == State::sent && guest.fetching; }

bool is_given(const VmInput& input) {
  const auto lease = input.needs.lease.state();
  // If it is lost, the heir's name came to the pool late: the guest went on here, and what the heir has is older.
  if (input.memory.move.taken_back) return false;
  // Only the manager gives epochs away: whoever has a higher one has it by this move.
  return has_move(input) && (lease == v1::LeaseStatus::GIVEN || lease == v1::LeaseStatus::LOST);
}

bool may_be_given(const VmInput& input) {
  if (!has_move(input) || is_live(input.guest) || is_given(input) || input.memory.move.taken_back) return false;
  // The sentinel ends the process that it was given away with, which may be seen before its word of that comes.
  return input.memory.move.gives || input.needs.lease.state() != v1::LeaseStatus::HELD;
}

bool is_left_running(const VmInput& input) {
  const v1::VmSpec& spec = input.wanted.spec();
  const bool resets = !spec.reset_id().empty() && spec.reset_id() != last_reset(input.wanted, input.guest) &&
                      input.wanted.status().failed_operation_id() != spec.reset_id();
  return !input.wanted.meta().has_deletion() && spec.power() == v1::VmSpec::RUNNING &&
         spec.boot_id() == input.guest.boot_id && !resets;
}

bool wants_to_be_sent(const VmInput& input) {
  return has_move(input) && !move_of(input).cancelled() && is_left_running(input);
}

std::optional<VmPlan> plan_sending(const VmInput& input) {
  const MoveMemory& memory = input.memory.move;
  const bool ready = wants_to_be_sent(input) && !memory.problem && input.guest.state == State::running &&
                     !input.needs.sentinel_is_too_old;
  if (!ready || input.needs.lease.state() != v1::LeaseStatus::HELD) return std::nullopt;
  // Takes a second, as getting ready at the target may.
  if (!memory.measured) return just(VmStep::measure);
  if (target_phase(input) != MoveStatus::PREPARED) return std::nullopt;
  return just(VmStep::send);
}

std::optional<VmPlan> plan_lost(const VmInput& input) {
  const v1::Vm& wanted = input.wanted;
  const bool same_boot = wanted.status().boot_id() == wanted.spec().boot_id();
  if (!input.memory.move.lost || !input.memory.move.received_at_ms || !same_boot) return std::nullopt;
  return VmPlan{
      .step = VmStep::fail, .operation_id = wanted.spec().boot_id(), .problem = lost_problem(wanted, input.now)};
}

VmPlan plan_moved(const VmInput& input) {
  const MaybeTrouble& trouble = input.memory.trouble;
  const auto until = trouble && !trouble->definite ? waits_until(trouble, input.now) : std::nullopt;
  if (until) return wait_for("another try", until);
  if (input.guest.state == State::sent) return plan_sent(input);
  // The source would not have given it away before everything came.
  if (input.guest.state == State::receiving) return just(VmStep::kill);
#ifdef GANTRY_BREAK_TAKE_OVER_WITHOUT_LEASE
  return just(VmStep::take_over);
#endif
  const bool held = input.needs.lease.state() == v1::LeaseStatus::HELD;
  return held ? just(VmStep::take_over) : wait_for_lease(input);
}

VmPlan plan_arrival(const VmInput& input) {
  const VmMemory& memory = input.memory;
  if (input.guest.state == State::receiving || input.guest.state == State::received)
    return wait_for("the guest to come");
  if (is_live(input.guest) || move_of(input).cancelled() || target_problem(input)) return wait_for("");
  VmPlan plan = plan_preparation(input);
  if (plan.step != VmStep::none || !plan.waiting_for.empty() || plan.wake_at_ms) return plan;
  if (memory.move.address) return plan;
  return input.needs.is_guarded ? just(VmStep::receive) : wait_for("the sentinel");
}

VmPlan plan_leave(const VmInput& input) {
  if (const auto until = waits_until(input.memory.trouble, input.now)) return wait_for("another try", until);
  // Whatever ends that is seen by both processes: none waits for ever.
  if (serves_memory(input.guest)) return wait_for("the other host to fetch the rest of the guest's memory");
  if (is_live(input.guest)) return just(VmStep::kill);
  if (!input.memory.detached) return just(VmStep::detach);
  if (!input.memory.seed_deleted) return just(VmStep::delete_seed);
  if (input.guest.state != State::absent || !input.memory.forgotten) return just(VmStep::forget);
  return just(input.leaves_lease && !input.memory.lease_removed ? VmStep::remove_lease : VmStep::gone);
}

MoveStatus target_status(const VmInput& input, const VmPlan& plan) {
  MoveStatus status;
  status.set_task_id(move_of(input).task_id());
  if (input.guest.state == State::received) {
    status.set_phase(MoveStatus::ARRIVED);
  } else if (const auto problem = target_problem(input)) {
    status.set_phase(MoveStatus::FAILED);
    *status.mutable_problem() = *problem;
  } else if (input.guest.state == State::receiving && input.memory.move.address) {
    status.set_phase(MoveStatus::PREPARED);
    *status.mutable_address() = *input.memory.move.address;
  } else {
    status.mutable_progress()->set_phase(plan.waiting_for);
  }
  return status;
}

MoveStatus source_status(const VmInput& input) {
  const MoveMemory& memory = input.memory.move;
  MoveStatus status = memory.figures;
  status.set_task_id(memory.task_id);
  if (memory.task_id.empty()) return status;
  if (!has_move(input)) {
    if (memory.lost) {
      status.set_phase(MoveStatus::FAILED);
      *status.mutable_problem() = lost_problem(input.wanted, input.now);
      return status;
    }
    const MoveStatus& told = input.wanted.status().move();
    // An agent before this one may have said more.
    if (status.phase() != MoveStatus::ARRIVED && told.task_id() == memory.task_id) status = told;
    status.set_fetching(memory.fetching);
    return status;
  }
  if (is_given(input)) {
    status.set_phase(MoveStatus::GIVEN);
  } else if (input.guest.state == State::sent || memory.gives) {
    status.set_phase(MoveStatus::SENT);
  } else if (input.under_way == VmStep::send) {
    status.set_phase(MoveStatus::COPYING);
  } else if (const auto problem = source_problem(input); problem && input.under_way == VmStep::none) {
    status.set_phase(MoveStatus::FAILED);
    *status.mutable_problem() = *problem;
  }
  return status;
}

}  // namespace gantry::host
