// What is to be made on the host, worked out from the records and checked: every text in it is safe to be written into
// a ruleset or a configuration file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "gantry/v1/network.pb.h"
#include "model/ipv4.h"
#include "port/network.h"

namespace gantry::network {

struct NatPlan {
  std::string network_id;
  std::string bridge;
  model::Ipv4Subnet subnet;
  // The bridge's own: the first address of the subnet.
  model::Ipv4Address gateway;
  std::string domain;
};

struct Forward {
  bool udp = false;
  // 0.0.0.0: every address of the host.
  model::Ipv4Address host_address;
  std::uint16_t host_port = 0;
  std::uint16_t guest_port = 0;
  bool operator==(const Forward&) const = default;
};

// One NIC as it is on the host. Kept as a file beside it (nic_store.h), so that it can be taken away again.
struct NicPlan {
  std::string vm_id;
  std::string vm_name;
  std::uint32_t index = 0;
  std::uint32_t uid = 0;
  std::string network_id;
  // NAT, BRIDGE or USER: what is really used.
  v1::NetworkSpec::Kind kind = v1::NetworkSpec::USER;
  std::string tap;
  std::string bridge;
  std::string mac;
  // Nothing: not known (BRIDGE, USER).
  std::optional<model::Ipv4Address> ipv4;
  std::string domain;
  bool allow_spoofing = false;
  std::vector<Forward> forwards;
  bool operator==(const NicPlan&) const = default;
};

// invalid_argument when the record does not make sense.
Result<NatPlan> plan_nat(const v1::Network& network);
Result<NicPlan> plan_nic(const port::NicRequest& request, v1::NetworkSpec::Kind effective_kind);

// The network's domain or the default.
std::string domain_of(const v1::Network& network);

}  // namespace gantry::network
