// One network on this host: pure functions, as in vm_machine.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/time.h"
#include "gantry/v1/network.pb.h"
#include "host/trouble.h"
#include "port/network.h"

namespace gantry::host {

enum class NetworkStep { none, ensure, remove };

struct NetworkMemory {
  // Of this run of the agent, at this generation of the spec.
  bool ensured = false;
  std::uint64_t ensured_generation = 0;
  port::NetworkFacts facts;
  MaybeTrouble trouble;
};

struct NetworkInput {
  const v1::Network& wanted;
  const NetworkMemory& memory;
  NetworkStep under_way = NetworkStep::none;
  // The VM whose guest is on it, or may be; empty: none.
  std::string in_use_by;
  Now now;
};

struct NetworkPlan {
  NetworkStep step = NetworkStep::none;
  std::string waiting_for = {};
  std::optional<Milliseconds> wake_at_ms = {};
};

NetworkPlan plan_network(const NetworkInput& input);
v1::NetworkStatus network_status(const NetworkInput& input, const std::string& host_id);
bool is_ready(const v1::Network& wanted, const NetworkMemory& memory);

}  // namespace gantry::host
