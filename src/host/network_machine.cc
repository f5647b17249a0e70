#include "host/network_machine.h"

#include "model/network_kinds.h"

namespace gantry::host {

bool is_ready(const v1::Network& wanted, const NetworkMemory& memory) {
  return memory.ensured && memory.ensured_generation == wanted.meta().generation() && !wanted.meta().has_deletion();
}

NetworkPlan plan_network(const NetworkInput& input) {
  if (input.under_way != NetworkStep::none) return {};
  const NetworkMemory& memory = input.memory;
  const bool deletes = input.wanted.meta().has_deletion();
  // On every host: the one host that cannot have it is told of, and has it as soon as it can.
  const bool gives_up = !model::spans_hosts(input.wanted);
  if (memory.trouble && memory.trouble->definite && !deletes && gives_up) return {};
  if (const auto until = waits_until(memory.trouble, input.now))
    return {.waiting_for = "another try", .wake_at_ms = until};
  if (deletes) {
    if (input.in_use_by.empty()) return {.step = NetworkStep::remove};
    return {.waiting_for = input.in_use_by + " to stop"};
  }
  return {.step = is_ready(input.wanted, memory) ? NetworkStep::none : NetworkStep::ensure};
}

v1::NetworkStatus network_status(const NetworkInput& input, const std::string& host_id) {
  const NetworkMemory& memory = input.memory;
  const bool deletes = input.wanted.meta().has_deletion();
  v1::NetworkStatus status;
  status.set_host_id(host_id);
  status.set_effective_kind(memory.ensured ? memory.facts.effective_kind : input.wanted.spec().kind());
  status.set_effective_kind_reason(memory.facts.reason);
  if (memory.trouble) *status.mutable_problem() = memory.trouble->problem;
  if (memory.trouble && memory.trouble->definite) {
    status.set_state(v1::NetworkStatus::FAILED);
    if (deletes) status.set_failed_operation_id(memory.trouble->operation_id);
  } else if (deletes) {
    status.set_state(v1::NetworkStatus::DELETING);
  } else {
    status.set_state(is_ready(input.wanted, memory) ? v1::NetworkStatus::READY : v1::NetworkStatus::PENDING);
  }
  return status;
}

}  // namespace gantry::host
