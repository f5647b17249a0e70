#include "host/volume_machine.h"

namespace gantry::host {
namespace {

VolumePlan just(VolumeStep step) { return VolumePlan{.step = step}; }

VolumePlan wait_for(std::string what, std::optional<Milliseconds> wake_at_ms = {}) {
  return VolumePlan{.step = VolumeStep::none, .waiting_for = std::move(what), .wake_at_ms = wake_at_ms};
}

VolumePlan missing(const VolumeInput& input) {
  VolumePlan plan = just(VolumeStep::fail);
  plan.problem = make_problem("volume_missing", "the file of volume \"" + input.wanted.meta().name() + "\" is missing",
                              input.wanted.status().path() + " was there before and is not there any more",
                              "put the file back and start its VM again, or delete the volume", input.now);
  return plan;
}

VolumePlan plan_present(const VolumeInput& input) {
  const bool is_to_grow = grows(input.wanted, input.memory);
  const bool changes_owner = input.uid != input.memory.uid;
  if (!is_to_grow && !changes_owner) return {};
  if (!input.in_use_by.empty()) return is_to_grow ? wait_for(input.in_use_by + " to stop") : VolumePlan{};
  if (!is_to_grow) return just(VolumeStep::inspect);
  if (const auto until = waits_until(input.memory.growth_trouble, input.now)) return wait_for("another try", until);
  return just(VolumeStep::resize);
}

VolumePlan plan_look(const VolumeInput& input) {
  const VolumeMemory& memory = input.memory;
  if (memory.presence == Presence::present || input.wanted.meta().has_deletion()) return {};
  if (const auto until = waits_until(memory.trouble, input.now)) return wait_for("another try", until);
  if (!input.pool_known) return wait_for("its pool");
  const Milliseconds at_ms = memory.missed_at_ms + kLookAgainMs;
  if (memory.presence == Presence::absent && at_ms > input.now.monotonic_ms) return wait_for("its keeper", at_ms);
  return just(VolumeStep::inspect);
}

}  // namespace

bool was_ready(const v1::Volume& volume) {
  const auto state = volume.status().state();
  return state == v1::VolumeStatus::READY || state == v1::VolumeStatus::RESIZING || !volume.status().path().empty();
}

bool grows(const v1::Volume& wanted, const VolumeMemory& memory) {
  const bool gave_up = memory.growth_trouble && memory.growth_trouble->definite;
  return !gave_up && wanted.spec().capacity_bytes() > memory.facts.capacity_bytes;
}

VolumePlan plan_volume(const VolumeInput& input) {
  const VolumeMemory& memory = input.memory;
  const bool deletes = input.wanted.meta().has_deletion();
  if (input.under_way != VolumeStep::none) {
    const bool cuts_short = deletes && input.under_way == VolumeStep::create && input.in_use_by.empty();
    return cuts_short && !input.look_only ? just(VolumeStep::remove) : VolumePlan{};
  }
  if (input.look_only) return plan_look(input);
  if (memory.trouble && memory.trouble->definite && !deletes) return {};
  if (const auto until = waits_until(memory.trouble, input.now)) return wait_for("another try", until);
  if (!input.pool_known) return wait_for("its pool");
  if (deletes) {
    return input.in_use_by.empty() ? just(VolumeStep::remove) : wait_for(input.in_use_by + " to stop");
  }
  if (memory.presence == Presence::present) return plan_present(input);
  if (memory.presence == Presence::unknown) return just(VolumeStep::inspect);
  if (memory.was_present || was_ready(input.wanted)) return missing(input);
  return input.waiting_for.empty() ? just(VolumeStep::create) : wait_for(input.waiting_for);
}

std::optional<v1::VolumeStatus> volume_status(const VolumeInput& input, const VolumePlan& plan,
                                              const std::string& host_id) {
  const VolumeMemory& memory = input.memory;
  const bool deletes = input.wanted.meta().has_deletion();
  if (memory.presence == Presence::unknown && !memory.trouble && !deletes) return std::nullopt;
  v1::VolumeStatus status;
  status.set_host_id(host_id);
  status.set_observed_generation(input.wanted.meta().generation());
  if (memory.presence == Presence::present) {
    status.set_path(memory.facts.path);
    status.set_capacity_bytes(memory.facts.capacity_bytes);
    status.set_allocation_bytes(memory.facts.allocation_bytes);
  } else {
    // Kept, so that it is never taken for a volume that was not made yet (see was_ready).
    status.set_path(memory.was_present ? memory.facts.path : input.wanted.status().path());
  }
  if (memory.growth_trouble && !deletes) *status.mutable_problem() = memory.growth_trouble->problem;
  if (memory.trouble) *status.mutable_problem() = memory.trouble->problem;
  if (memory.trouble && memory.trouble->definite) {
    status.set_state(v1::VolumeStatus::FAILED);
    if (deletes) status.set_failed_operation_id(memory.trouble->operation_id);
    return status;
  }
  if (deletes) {
    status.set_state(v1::VolumeStatus::DELETING);
  } else if (memory.presence == Presence::present) {
    status.set_state(grows(input.wanted, memory) ? v1::VolumeStatus::RESIZING : v1::VolumeStatus::READY);
  } else if (input.needs_problem) {
    status.set_state(v1::VolumeStatus::FAILED);
    *status.mutable_problem() = *input.needs_problem;
    return status;
  } else {
    const bool creates = plan.step == VolumeStep::create || input.under_way == VolumeStep::create;
    status.set_state(creates ? v1::VolumeStatus::CREATING : v1::VolumeStatus::PENDING);
  }
  if (status.state() == v1::VolumeStatus::CREATING || status.state() == v1::VolumeStatus::RESIZING) {
    *status.mutable_progress() = memory.progress;
  }
  if (!plan.waiting_for.empty()) status.mutable_progress()->set_phase("waiting for " + plan.waiting_for);
  return status;
}

}  // namespace gantry::host
