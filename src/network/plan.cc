#include "network/plan.h"

#include "base/id.h"
#include "model/check.h"
#include "model/limits.h"
#include "model/mac.h"
#include "model/network_kinds.h"
#include "model/state.h"
#include "network/names.h"

namespace gantry::network {
namespace {

constexpr std::uint32_t kLoopback = 0x7f000001;

std::string called(const v1::Network& network) { return "network \"" + network.meta().name() + "\""; }

Result<Forward> plan_forward(const v1::PortForward& asked, const std::string& what) {
  Forward forward;
  forward.udp = asked.protocol() == v1::PortForward::UDP;
  forward.host_address = {kLoopback};
  if (!asked.host_address().empty()) {
    const auto address = model::parse_ipv4(asked.host_address());
    if (!address) return fail(ErrorCode::invalid_argument, what, address.error().summary, address.error().next_step);
    forward.host_address = *address;
  }
  if (asked.host_port() == 0 || asked.host_port() > 65535 || asked.guest_port() == 0 || asked.guest_port() > 65535) {
    return fail(ErrorCode::invalid_argument, what, "a port is not a number from 1 to 65535", "name both ports");
  }
  forward.host_port = static_cast<std::uint16_t>(asked.host_port());
  forward.guest_port = static_cast<std::uint16_t>(asked.guest_port());
  return forward;
}

Result<void> plan_address(const port::NicRequest& request, const std::string& what, NicPlan& plan) {
  // In user mode QEMU hands out an address of its own.
  if (!request.nic.ipv4().empty() && plan.kind != v1::NetworkSpec::USER) {
    const auto address = model::parse_ipv4(request.nic.ipv4());
    if (!address) return fail(ErrorCode::invalid_argument, what, address.error().summary, address.error().next_step);
    plan.ipv4 = *address;
  }
  if (!model::has_gateway(plan.kind)) return {};
  const auto nat = plan_nat(request.network);
  if (!nat) return fail(nat.error());
  if (!plan.ipv4) return fail(ErrorCode::invalid_argument, what, "no address was chosen for it");
  if (!nat->subnet.contains(*plan.ipv4) || *plan.ipv4 == nat->subnet.first || *plan.ipv4 == nat->subnet.last() ||
      *plan.ipv4 == nat->gateway) {
    return fail(ErrorCode::invalid_argument, what,
                "a guest cannot have " + request.nic.ipv4() + " in " + model::format_ipv4_subnet(nat->subnet),
                "choose another address of that subnet");
  }
  plan.gateway = nat->gateway;
  return {};
}

Result<void> plan_bridge(const port::NicRequest& request, const std::string& what, NicPlan& plan) {
  if (plan.kind == v1::NetworkSpec::USER) return {};
  plan.tap = tap_name(request.vm_id, request.index);
  plan.bridge =
      plan.kind == v1::NetworkSpec::BRIDGE ? request.network.spec().bridge() : bridge_name(request.network.meta().id());
  if (!is_interface_name(plan.bridge)) {
    return fail(ErrorCode::invalid_argument, what, "\"" + plan.bridge + "\" is not the name of a bridge",
                "name an existing bridge in the network");
  }
  if (model::is_foreign_segment(plan.kind) && !plan.forwards.empty()) {
    return fail(ErrorCode::invalid_argument, what, "ports are not forwarded on a network of kind BRIDGE or VLAN",
                "connect to the guest's own address, or use a NAT network");
  }
  return {};
}

}  // namespace

std::string domain_of(const v1::Network& network) {
  return network.spec().domain().empty() ? std::string(model::kDefaultDomain) : network.spec().domain();
}

Result<NatPlan> plan_nat(const v1::Network& network) {
  if (!is_id(network.meta().id(), "net")) {
    return fail(ErrorCode::invalid_argument, "\"" + network.meta().id() + "\" is not the id of a network");
  }
  const std::string what = "cannot set up " + called(network);
  const auto subnet = model::parse_ipv4_subnet(network.spec().ipv4_subnet());
  if (!subnet) return fail(ErrorCode::invalid_argument, what, subnet.error().to_text());
  const auto gateway = subnet->host(1);
  if (!gateway || subnet->host_count() < 2 || subnet->prefix_length < 8) {
    return fail(ErrorCode::invalid_argument, what,
                network.spec().ipv4_subnet() + " is " + (gateway ? "too large" : "too small"),
                "use a prefix length from 8 to 30");
  }
  const std::string domain = domain_of(network);
  if (!model::is_dns_name(domain)) {
    return fail(ErrorCode::invalid_argument, what, "\"" + domain + "\" is not a DNS domain",
                "use a-z, 0-9, \"-\" and dots");
  }
  return NatPlan{network.meta().id(), bridge_name(network.meta().id()), *subnet, *gateway, domain,
                 network.spec().mtu()};
}

Result<VlanPlan> plan_vlan(const v1::Network& network) {
  const std::string& id = network.meta().id();
  const std::string what = "cannot set up " + called(network);
  if (!is_id(id, "net")) return fail(ErrorCode::invalid_argument, "\"" + id + "\" is not the id of a network");
  const v1::NetworkSpec& spec = network.spec();
  if (spec.vlan() == 0 || spec.vlan() > 4094 || !is_interface_name(spec.uplink()) || spec.mtu() > model::kMtuMax) {
    return fail(ErrorCode::invalid_argument, what, "its VLAN, its uplink or its MTU is none",
                "make the network anew with a VLAN from 1 to 4094 and an uplink");
  }
  return VlanPlan{bridge_name(id), vlan_device(id), spec.uplink(), static_cast<std::uint16_t>(spec.vlan()), spec.mtu()};
}

Result<NicPlan> plan_nic(const port::NicRequest& request, v1::NetworkSpec::Kind effective_kind) {
  const std::string what = "cannot attach network card " + std::to_string(request.index) + " of VM \"" +
                           request.vm_name + "\" to " + called(request.network);
  if (!is_id(request.vm_id, "vm") || !is_id(request.network.meta().id(), "net")) {
    return fail(ErrorCode::invalid_argument, what, "an id does not have an id's form");
  }
  if (request.index >= kNicsMax) {
    return fail(ErrorCode::invalid_argument, what, "a VM has at most " + std::to_string(kNicsMax) + " network cards");
  }
  const auto mac = model::parse_mac(request.nic.mac());
  if (!mac) return fail(ErrorCode::invalid_argument, what, mac.error().summary + ": " + mac.error().cause);
  NicPlan plan{
      .vm_id = request.vm_id,
      .vm_name = request.vm_name,
      .index = request.index,
      .uid = request.uid,
      .network_id = request.network.meta().id(),
      .kind = effective_kind,
      .tap = {},
      .bridge = {},
      .mac = *mac,
      .ipv4 = {},
      .gateway = {},
      .domain = model::has_gateway(effective_kind) ? domain_of(request.network) : std::string(model::kDefaultDomain),
      .allow_spoofing = request.network.spec().allow_spoofing(),
      .forwards = {},
      .filter = plan_filter(request)};
  if (plan.filter && plan.kind == v1::NetworkSpec::USER) {
    return fail(ErrorCode::unsupported, what, "its security groups cannot be held to in user mode",
                "give gantryd the right to change this host's network, or take the groups away", "groups_not_held");
  }
  if (!model::is_dns_label(plan.vm_name)) plan.vm_name.clear();
  for (const auto& asked : request.nic.port_forwards()) {
    auto forward = plan_forward(asked, what);
    if (!forward) return fail(forward.error());
    plan.forwards.push_back(*forward);
  }
  if (auto bridged = plan_bridge(request, what, plan); !bridged) return fail(bridged.error());
  if (auto addressed = plan_address(request, what, plan); !addressed) return fail(addressed.error());
  return plan;
}

}  // namespace gantry::network
