// Records that the tests of this room share.
#pragma once

#include <string>

#include "network/plan.h"
#include "port/network.h"

namespace gantry::network {

inline constexpr const char* kWeb = "vm-4f7k2m9qzt3x";
inline constexpr const char* kDatabase = "vm-000000000002";

inline v1::Network nat_network(const std::string& id = "net-4f7k2m9qzt3x", const std::string& subnet = "10.66.0.0/24") {
  v1::Network network;
  network.mutable_meta()->set_id(id);
  network.mutable_meta()->set_name("default");
  network.mutable_spec()->set_kind(v1::NetworkSpec::NAT);
  network.mutable_spec()->set_ipv4_subnet(subnet);
  return network;
}

// Its MAC ends as its address does.
inline port::NicRequest nic_request(const std::string& vm_id, const std::string& name, const std::string& ipv4,
                                    const v1::Network& network) {
  port::NicRequest request;
  request.vm_id = vm_id;
  request.vm_name = name;
  request.uid = 1'000'000'001;
  request.network = network;
  request.nic.set_network(network.meta().id());
  request.nic.set_mac("52:54:00:00:00:0" + ipv4.substr(ipv4.size() - 1));
  request.nic.set_ipv4(ipv4);
  return request;
}

inline v1::SecurityRule rule_of(v1::SecurityRule::Direction direction, v1::SecurityRule::Protocol protocol,
                                std::uint32_t port = 0, const std::string& subnet = "") {
  v1::SecurityRule rule;
  rule.set_direction(direction);
  rule.set_protocol(protocol);
  rule.set_port(port);
  rule.set_subnet(subnet);
  return rule;
}

// The NIC has that group, and it is assigned.
inline v1::AssignedGroup& add_group(port::NicRequest& request, const std::string& id,
                                    const std::vector<v1::SecurityRule>& rules) {
  request.nic.add_security_groups(id);
  v1::AssignedGroup& group = request.groups.emplace_back();
  group.mutable_group()->mutable_meta()->set_id(id);
  for (const auto& rule : rules) *group.mutable_group()->mutable_spec()->add_rules() = rule;
  return group;
}

inline void add_forward(port::NicRequest& request, const std::string& address, std::uint32_t host_port,
                        std::uint32_t guest_port) {
  auto* forward = request.nic.add_port_forwards();
  forward->set_host_address(address);
  forward->set_host_port(host_port);
  forward->set_guest_port(guest_port);
}

}  // namespace gantry::network
