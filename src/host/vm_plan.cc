#include "host/vm_machine.h"

namespace gantry::host {
namespace {

using State = port::GuestObservation::State;

// A guest that did not see the power button while it booted gets another chance.
constexpr Milliseconds kAskAgainMs = 10'000;
// How long a process found without a call of ours may take to run its guest.
constexpr Milliseconds kFoundStartingMs = 60'000;

VmPlan just(VmStep step) { return VmPlan{.step = step}; }

VmPlan wait_for(std::string what, std::optional<Milliseconds> wake_at_ms = {}) {
  return VmPlan{.step = VmStep::none, .waiting_for = std::move(what), .wake_at_ms = wake_at_ms};
}

// An operation that ended badly holds up nothing else.
std::optional<Milliseconds> retry_wait(const VmInput& input) {
  const MaybeTrouble& trouble = input.memory.trouble;
  return trouble && trouble->definite ? std::nullopt : waits_until(trouble, input.now);
}

VmPlan clean_up(const VmInput& input) {
  if (const auto until = waits_until(input.memory.cleanup_trouble, input.now)) return wait_for("", until);
  return just(input.memory.detached ? VmStep::none : VmStep::detach);
}

Milliseconds stop_timeout_ms(const VmInput& input) {
  const v1::VmSpec& spec = input.wanted.spec();
  const std::uint32_t own =
      spec.stop_timeout_seconds() != 0 ? spec.stop_timeout_seconds() : input.default_stop_timeout_seconds;
  return Milliseconds{1'000} * (spec.stop_once_timeout_seconds() != 0 ? spec.stop_once_timeout_seconds() : own);
}

VmPlan stop_guest(const VmInput& input) {
  const VmMemory& memory = input.memory;
  if (!input.wanted.spec().force_stop_id().empty() || input.guest.state == State::starting) {
    return just(VmStep::kill);
  }
  if (is_held_by_sentinel(input.needs.lease)) return wait_for("its lease: " + input.needs.lease.reason());
  const Now now = input.now;
  // A guest whose processors are held does not see the button. When QEMU holds them they may not go on, and time runs.
  const auto resume_at_ms = memory.held_resume_at_ms;
  const bool resumes = resume_at_ms ? *resume_at_ms <= now.monotonic_ms : input.guest.state == State::paused;
  if (resumes) return just(VmStep::resume);
  if (memory.stopping_boot_id != input.guest.boot_id || !memory.asked_at_ms) return just(VmStep::power_down);
  const Milliseconds kill_at_ms = memory.stopping_since_ms + stop_timeout_ms(input);
  if (now.monotonic_ms >= kill_at_ms) return just(VmStep::kill);
  const Milliseconds ask_at_ms = *memory.asked_at_ms + kAskAgainMs;
  if (now.monotonic_ms >= ask_at_ms) return just(VmStep::power_down);
  return wait_for("the guest to power off", earlier(std::min(kill_at_ms, ask_at_ms), resume_at_ms));
}

VmPlan delete_guest(const VmInput& input) {
  if (const auto until = waits_until(input.memory.trouble, input.now)) return wait_for("another try", until);
  if (is_live(input.guest)) return just(VmStep::kill);
  if (!input.memory.detached) return just(VmStep::detach);
  if (!input.memory.seed_deleted) return just(VmStep::delete_seed);
  if (input.guest.state != State::absent) return just(VmStep::forget);
  return just(input.memory.lease_removed ? VmStep::gone : VmStep::remove_lease);
}

bool ended_by_trouble(const VmMemory& memory, const std::string& operation_id) {
  return memory.trouble && memory.trouble->definite && memory.trouble->operation_id == operation_id;
}

VmPlan tend_running(const VmInput& input) {
  if (auto plan = plan_sending(input)) return *plan;
  const v1::VmSpec& spec = input.wanted.spec();
  if (input.guest.state == State::starting) {
    if (is_held_by_sentinel(input.needs.lease)) return wait_for("its lease: " + input.needs.lease.reason());
    const Milliseconds give_up_ms = input.memory.found_starting_since_ms + kFoundStartingMs;
    if (input.memory.found_starting_boot_id == input.guest.boot_id && input.now.monotonic_ms >= give_up_ms) {
      return just(VmStep::kill);
    }
    return wait_for("the hypervisor", give_up_ms);
  }
  if (const auto until = retry_wait(input)) return wait_for("another try", until);
  if (!spec.reset_id().empty() && spec.reset_id() != last_reset(input.wanted, input.guest) &&
      !ended_by_trouble(input.memory, spec.reset_id())) {
    return just(VmStep::reset);
  }
  if (spec.power() == v1::VmSpec::PAUSED && input.guest.state == State::running) return just(VmStep::pause);
  if (spec.power() != v1::VmSpec::RUNNING || input.guest.state != State::paused) return {};
  if (is_held_by_sentinel(input.needs.lease)) return {};
  const auto resume_at_ms = input.memory.held_resume_at_ms;
  // Waits for nothing that is under way: see is_held() in task_machine.cc of control.
  if (resume_at_ms && *resume_at_ms > input.now.monotonic_ms) return wait_for("", resume_at_ms);
  return just(VmStep::resume);
}

// That boot is over: it ran and ended, or could not be done and was told so.
bool boot_is_over(const VmInput& input) {
  const std::string& boot_id = input.wanted.spec().boot_id();
#ifndef GANTRY_BREAK_FORGET_OPERATION_ID
  if (input.guest.state == State::ended && input.guest.boot_id == boot_id) return true;
#endif
  return ended_by_trouble(input.memory, boot_id);
}

VmPlan prepare_and_start(const VmInput& input) {
  VmPlan plan = plan_preparation(input);
  if (plan.step != VmStep::none || !plan.waiting_for.empty() || plan.wake_at_ms) return plan;
#ifdef GANTRY_BREAK_START_WITHOUT_LEASE
  return just(VmStep::start);
#endif
  if (input.needs.lease.state() == v1::LeaseStatus::HELD) return just(VmStep::start);
  const std::string& reason = input.needs.lease.reason();
  return wait_for(reason.empty() ? "its lease" : "its lease: " + reason);
}

VmPlan plan_when_idle(const VmInput& input) {
  const v1::VmSpec& spec = input.wanted.spec();
  // Whatever were done now could be done to a guest that runs.
  if (input.guest.state == State::unknown) return wait_for("the hypervisor");
  if (input.role == VmRole::leaving) return plan_leave(input);
  if (input.role == VmRole::arriving) return plan_arrival(input);
  if (input.wanted.meta().has_deletion()) return delete_guest(input);
  if (is_given(input)) return wait_for("the other host to let it go on");
  // Of one that stands there is nothing to ask.
  const bool forced = spec.power() == v1::VmSpec::STOPPED && !spec.force_stop_id().empty();
  if (is_moving(input.guest)) return forced && !input.memory.move.gives ? just(VmStep::kill) : plan_moved(input);
  if (!is_live(input.guest)) {
    if (spec.power() == v1::VmSpec::STOPPED || boot_is_over(input)) return clean_up(input);
    if (auto plan = plan_lost(input)) return *plan;
    return prepare_and_start(input);
  }
  if (spec.power() != v1::VmSpec::STOPPED && input.guest.boot_id == spec.boot_id()) return tend_running(input);
  if (const auto until = retry_wait(input)) return wait_for("another try", until);
  return stop_guest(input);
}

// What a call under way is for. Before a boot, what an earlier one may have left of its NICs is taken away first.
std::string describe(VmStep step, const v1::Vm& wanted) {
  const bool prepares = wanted.spec().power() != v1::VmSpec::STOPPED && !wanted.meta().has_deletion();
  switch (step) {
    case VmStep::attach: return "its network interfaces to be set up";
    case VmStep::make_seed: return "its cloud-init seed";
    case VmStep::start:
    case VmStep::reset:
    case VmStep::pause:
    case VmStep::resume:
    case VmStep::receive:
    case VmStep::take_over: return "the hypervisor";
    case VmStep::power_down: return "the guest to power off";
    case VmStep::kill: return "the guest's process to end";
    case VmStep::detach:
      return prepares ? "its network interfaces to be set up" : "its network interfaces to be removed";
    case VmStep::delete_seed:
    case VmStep::remove_lease:
    case VmStep::forget: return "its files to be removed";
    default: return "";
  }
}

}  // namespace

const std::string& last_reset(const v1::Vm& wanted, const port::GuestObservation& guest) {
  return guest.reset_id.empty() ? wanted.status().reset_id() : guest.reset_id;
}

VmPlan plan_preparation(const VmInput& input) {
  const VmMemory& memory = input.memory;
  const v1::VmSpec& spec = input.wanted.spec();
  if (const auto until = retry_wait(input)) return wait_for("another try", until);
  if (memory.boot_id != spec.boot_id() && !memory.detached) return clean_up(input);
  if (input.needs.problem) {
    return VmPlan{.step = VmStep::fail, .operation_id = spec.boot_id(), .problem = *input.needs.problem};
  }
  if (!input.needs.waiting_for.empty()) return wait_for(input.needs.waiting_for);
  if (memory.boot_id != spec.boot_id() || memory.nics.size() < static_cast<std::size_t>(spec.nics_size())) {
    return just(spec.nics_size() == 0 ? VmStep::make_seed : VmStep::attach);
  }
  return just(memory.seed ? VmStep::none : VmStep::make_seed);
}

bool is_moving(const port::GuestObservation& guest) {
  return guest.state == State::receiving || guest.state == State::received || guest.state == State::sent;
}

bool is_live(const port::GuestObservation& guest) {
  return guest.state == State::unknown || guest.state == State::starting || guest.state == State::running ||
         guest.state == State::paused || is_moving(guest);
}

bool is_held(const port::GuestObservation& guest) {
  return guest.state == State::paused && !guest.problem.code().empty();
}

bool is_held_by_sentinel(const v1::LeaseStatus& lease) {
  return lease.state() == v1::LeaseStatus::LAPSED || lease.state() == v1::LeaseStatus::LOST;
}

void refresh_memory(VmMemory& memory, const v1::Vm& wanted, const port::GuestObservation& guest,
                    const v1::LeaseStatus& lease, VmStep under_way, Now now) {
  const v1::VmSpec& spec = wanted.spec();
  refresh_move(memory.move, wanted, guest, now);
  if (memory.trouble && memory.trouble->definite) {
    const std::string& operation_id = memory.trouble->operation_id;
    const bool current = operation_id == spec.boot_id() || operation_id == spec.reset_id() ||
                         operation_id == wanted.meta().deletion().task_id();
    if (!current) memory.trouble.reset();
  }
  // An agent that comes back goes on with what the one before it told.
  const std::string& failed_id = wanted.status().failed_operation_id();
  const bool boot_failed = failed_id == spec.boot_id() && !is_live(guest);
  const bool reset_failed = failed_id == spec.reset_id() && failed_id != last_reset(wanted, guest);
  if (!memory.trouble && !failed_id.empty() && (boot_failed || reset_failed)) {
    memory.trouble = Trouble{.problem = wanted.status().problem(), .definite = true, .operation_id = failed_id};
  }
  const bool keeps_running = is_live(guest) && guest.boot_id == spec.boot_id() && spec.power() != v1::VmSpec::STOPPED &&
                             !wanted.meta().has_deletion();
  // A guest that is held did not see the button, and has its time anew once it goes on.
  const bool held = is_held_by_sentinel(lease);
  if (keeps_running || held || !is_live(guest)) {
    memory.stopping_boot_id.clear();
    memory.asked_at_ms.reset();
  }
  if (!is_held(guest)) {
    memory.held_resume_at_ms.reset();
  } else if (!memory.held_resume_at_ms) {
    memory.held_resume_at_ms = now.monotonic_ms + kResumeHeldMs;
  }
  if (guest.state != State::starting || held || under_way != VmStep::none) {
    memory.found_starting_boot_id.clear();
  } else if (memory.found_starting_boot_id != guest.boot_id) {
    memory.found_starting_boot_id = guest.boot_id;
    memory.found_starting_since_ms = now.monotonic_ms;
  }
}

VmPlan plan_vm(const VmInput& input) {
  if (input.under_way == VmStep::none) return plan_when_idle(input);
  VmPlan plan = wait_for(describe(input.under_way, input.wanted));
  if (input.under_way == VmStep::kill) return plan;
  if (input.role != VmRole::resident) return plan;
  const v1::VmSpec& spec = input.wanted.spec();
  const bool forced =
      input.wanted.meta().has_deletion() || (spec.power() == v1::VmSpec::STOPPED && !spec.force_stop_id().empty());
  if (forced && (input.under_way == VmStep::start || is_live(input.guest))) plan.step = VmStep::kill;
  const bool sends = input.under_way == VmStep::send && !input.memory.move.stops_sending;
  if (!forced && sends && !wants_to_be_sent(input)) plan.step = VmStep::stop_sending;
  return plan;
}

}  // namespace gantry::host
