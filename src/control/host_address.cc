#include "control/host_address.h"

#include <algorithm>
#include <array>

#include "model/ipv4.h"
#include "model/network_kinds.h"

namespace gantry::control {
namespace {

// This host, the loopback, one link alone; and from 224.0.0.0 on several hosts, or none.
constexpr std::array<model::Ipv4Subnet, 5> kOfNoHost = {
    {{{0x00000000}, 8}, {{0x7f000000}, 8}, {{0xa9fe0000}, 16}, {{0xe0000000}, 4}, {{0xf0000000}, 4}}};

bool is_gateway(const v1::Network& network, model::Ipv4Address address) {
  if (!model::has_gateway(network.spec().kind())) return false;
  const auto subnet = model::parse_ipv4_subnet(network.spec().ipv4_subnet());
  return subnet && subnet->host(1) == address;
}

// What was found good before, while nothing else came to have it. It is asked of every host again and again.
bool is_as_before(const Draft& draft, const std::string& host_id, const std::string& text) {
  const auto* before = draft.view().find<v1::Host>(host_id);
  return before != nullptr && before->status().address() == text && draft.view().hosts_at(text) == 1 &&
         draft.view().gateways_at(text) == 0;
}

std::string why_not(const Draft& draft, const std::string& host_id, const std::string& text) {
  const auto address = model::parse_ipv4(text);
  if (!address || is_as_before(draft, host_id, text)) return {};
  const auto holds = [&](const model::Ipv4Subnet& subnet) { return subnet.contains(*address); };
  if (std::any_of(kOfNoHost.begin(), kOfNoHost.end(), holds)) return "it is not an address of one host alone";
  for (const auto& [id, network] : draft.view().all<v1::Network>().by_id) {
    if (is_gateway(network, *address)) return "network \"" + network.meta().name() + "\" has it on every host";
  }
  for (const auto& [id, seen] : draft.view().all<v1::Host>().by_id) {
    const auto* other = id == host_id ? nullptr : draft.find<v1::Host>(id);
    // One that leaves may have come back as this one.
    if (other == nullptr || other->meta().has_deletion()) continue;
    if (other->status().address() == text) return "host \"" + other->meta().name() + "\" has it";
  }
  return {};
}

}  // namespace

v1::HostStatus with_usable_address(const Draft& draft, const std::string& host_id, const v1::HostStatus& said) {
  v1::HostStatus usable = said;
  const std::string why = why_not(draft, host_id, said.address());
  if (why.empty()) return usable;
  usable.clear_address();
  v1::Problem& problem = *usable.add_problems();
  problem.set_summary("overlays do not lead to it at " + said.address());
  problem.set_cause(why);
  problem.set_next_step(
      "have it reach the manager from an address of its own; a host that is gone for good keeps its"
      " address until \"gantry host leave\"");
  return usable;
}

}  // namespace gantry::control
