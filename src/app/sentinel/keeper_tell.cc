// The part of Keeper that tells how leases are.
#include "app/sentinel/keeper.h"
#include "runtime/report.h"

namespace gantry::sentinel {

port::LeaseObservation Keeper::observation_of(const std::string& vm_id, const Guarded& ward,
                                              Milliseconds now_ms) const {
  port::LeaseObservation seen;
  seen.vm_id = vm_id;
  seen.status.set_epoch(ward.lease.epoch());
  seen.status.set_reason(ward.lease.obstacle(now_ms));
  const bool goes_on = ward.process && right_of(ward, now_ms) == host::LeaseRight::run;
  if (goes_on || ward.lease.right(now_ms) == host::LeaseRight::run) {
    seen.status.set_state(v1::LeaseStatus::HELD);
    seen.guard = guard_path(state_directory_, vm_id);
  } else if (ward.lease.phase() == host::LeasePhase::superseded) {
    seen.status.set_state(v1::LeaseStatus::LOST);
  } else if (ward.lease.is_given_away()) {
    seen.status.set_state(v1::LeaseStatus::GIVEN);
  } else if (ward.wish.incoming) {
    describe_incoming(ward, now_ms, seen);
  } else if (!ward.wish.hold) {
    seen.status.clear_reason();
  } else {
    const bool lapsed = ward.process && !waits_for_agent(ward, now_ms);
    seen.status.set_state(lapsed ? v1::LeaseStatus::LAPSED : v1::LeaseStatus::WAITING);
  }
  return seen;
}

void Keeper::describe_incoming(const Guarded& ward, Milliseconds now_ms, port::LeaseObservation& seen) const {
  seen.status.set_epoch(ward.wish.epoch);
  seen.status.clear_reason();
  if (ward.guard.frozen) {
    seen.status.set_reason("the process that waits for the guest is frozen: nobody guarded it for a while");
  } else if (waits_for_agent(ward, now_ms) && ward.held_guard.valid()) {
    seen.guard = guard_path(state_directory_, ward.wish.vm_id);
  }
}

void Keeper::tell(const std::string& vm_id, Guarded& ward, Milliseconds now_ms) const {
  const port::LeaseObservation seen = observation_of(vm_id, ward, now_ms);
  if (ward.told && ward.told->guard == seen.guard && ward.told->status.state() == seen.status.state() &&
      ward.told->status.epoch() == seen.status.epoch() && ward.told->status.reason() == seen.status.reason()) {
    return;
  }
  ward.told = seen;
  if (seen.status.state() == v1::LeaseStatus::HELD && !seen.status.reason().empty() && ward.lease.was_held()) {
    runtime::report_problem("virtual machine " + vm_id +
                            " goes on, though its lease is not renewed: " + seen.status.reason());
  }
  if (observer) observer(seen);
}

}  // namespace gantry::sentinel
