// Security groups as rules with addresses.
#include "network/plan.h"

namespace gantry::network {
namespace {

const v1::AssignedGroup* find_group(const std::vector<v1::AssignedGroup>& groups, const std::string& id) {
  for (const auto& group : groups) {
    if (group.group().meta().id() == id) return &group;
  }
  return nullptr;
}

std::uint16_t port_of(std::uint32_t port) { return port > 65535 ? 0 : static_cast<std::uint16_t>(port); }

// False when nobody is who it names.
bool add_peers(const v1::SecurityRule& rule, const std::vector<v1::AssignedGroup>& groups, FilterRule& planned) {
  if (!rule.subnet().empty()) {
    const auto subnet = model::parse_ipv4_subnet(rule.subnet());
    if (subnet) planned.peers.insert(model::format_ipv4_subnet(*subnet));
    return subnet.has_value();
  }
  if (rule.group().empty()) return true;
  const auto* named = find_group(groups, rule.group());
  if (named == nullptr) return false;
  for (const auto& member : named->members()) {
    if (const auto address = model::parse_ipv4(member)) planned.peers.insert(model::format_ipv4(*address));
  }
  return !planned.peers.empty();
}

}  // namespace

std::optional<std::vector<FilterRule>> plan_filter(const port::NicRequest& request) {
  if (request.nic.security_groups().empty()) return std::nullopt;
  std::vector<FilterRule> rules;
  for (const auto& id : request.nic.security_groups()) {
    const auto* group = find_group(request.groups, id);
    if (group == nullptr) continue;
    for (const auto& rule : group->group().spec().rules()) {
      FilterRule planned;
      planned.ingress = rule.direction() == v1::SecurityRule::INGRESS;
      planned.protocol = rule.protocol();
      planned.port = port_of(rule.port());
      planned.port_last = port_of(rule.port_last());
      if (planned.port == planned.port_last) planned.port_last = 0;
      if (add_peers(rule, request.groups, planned)) rules.push_back(std::move(planned));
    }
  }
  return rules;
}

}  // namespace gantry::network
