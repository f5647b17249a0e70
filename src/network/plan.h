// What is to be made on the host, worked out from the records and checked: every text in it is safe to be written into
// a ruleset or a configuration file.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "gantry/v1/network.pb.h"
#include "gantry/v1/security.pb.h"
#include "model/ipv4.h"
#include "port/network.h"

namespace gantry::network {

// The part of a network of kind OVERLAY that leads to other hosts.
struct OverlayPlan {
  std::uint32_t vni = 0;
  std::string device;
  // This host's own, among hosts.
  model::Ipv4Address local;
  // Hosts that have guests in it.
  std::set<std::string> peers = {};
};

// A network that Gantry gives addresses in: of kind NAT or OVERLAY.
struct NatPlan {
  std::string network_id;
  std::string bridge;
  model::Ipv4Subnet subnet;
  // The bridge's own: the first address of the subnet.
  model::Ipv4Address gateway;
  std::string domain;
  // What guests are told; 0: nothing.
  unsigned mtu = 0;
  std::optional<OverlayPlan> overlay = {};
};

struct VlanPlan {
  std::string bridge;
  std::string device;
  std::string uplink;
  std::uint16_t vlan = 0;
  // 0: the uplink's.
  unsigned mtu = 0;
};

// One rule of a security group, with the group it names written out.
struct FilterRule {
  bool ingress = true;
  v1::SecurityRule::Protocol protocol = v1::SecurityRule::ANY;
  // 0: every port.
  std::uint16_t port = 0;
  std::uint16_t port_last = 0;
  // Segments or addresses; none: anybody.
  std::set<std::string> peers = {};
  bool operator==(const FilterRule&) const = default;
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
  // What is really used.
  v1::NetworkSpec::Kind kind = v1::NetworkSpec::USER;
  std::string tap;
  std::string bridge;
  std::string mac;
  // Nothing: not known (BRIDGE, USER).
  std::optional<model::Ipv4Address> ipv4;
  // Who serves DHCP there; nothing: not known (BRIDGE, VLAN, USER).
  std::optional<model::Ipv4Address> gateway = {};
  std::string domain;
  bool allow_spoofing = false;
  std::vector<Forward> forwards;
  // Nothing: everything is let through. Without rules: nothing is.
  std::optional<std::vector<FilterRule>> filter = {};
  bool operator==(const NicPlan&) const = default;
};

// invalid_argument when the record does not make sense. Of an overlay without `overlay`.
Result<NatPlan> plan_nat(const v1::Network& network);
Result<VlanPlan> plan_vlan(const v1::Network& network);
Result<NicPlan> plan_nic(const port::NicRequest& request, v1::NetworkSpec::Kind effective_kind);

// What the groups of that NIC let through.
std::optional<std::vector<FilterRule>> plan_filter(const port::NicRequest& request);

// The network's domain or the default.
std::string domain_of(const v1::Network& network);

}  // namespace gantry::network
