// Security groups, and which NIC has which.
#include <set>

#include "model/ipv4.h"
#include "model/validate.h"

namespace gantry::model {
namespace {

Checked check_ports(const std::string& field, const v1::SecurityRule& rule) {
  const bool has_ports = rule.protocol() == v1::SecurityRule::TCP || rule.protocol() == v1::SecurityRule::UDP;
  if (!has_ports && (rule.port() != 0 || rule.port_last() != 0)) {
    return bad_field(field + ".port", "only TCP and UDP have ports", "leave it out, or set protocol");
  }
  GANTRY_CHECK(check_range(field + ".port", rule.port(), 0, 65'535));
  if (rule.port_last() == 0) return {};
  return check_range(field + ".portLast", rule.port_last(), std::max(rule.port(), 1U), 65'535);
}

Checked check_rule(const std::string& field, const v1::SecurityRule& rule) {
  if (!v1::SecurityRule::Direction_IsValid(rule.direction()))
    return bad_field(field + ".direction", "no such direction", std::string(kSeeApi));
  if (!v1::SecurityRule::Protocol_IsValid(rule.protocol()))
    return bad_field(field + ".protocol", "no such protocol", std::string(kSeeApi));
  GANTRY_CHECK(check_ports(field, rule));
  GANTRY_CHECK(check_reference(field + ".group", rule.group()));
  if (rule.subnet().empty()) return {};
  if (!rule.group().empty()) {
    return bad_field(field + ".subnet", "a rule names a segment or a group, not both", "make two rules of it");
  }
  if (parse_ipv4_subnet(rule.subnet())) return {};
  return bad_field(field + ".subnet", "it is not an IPv4 segment", "write it as \"192.0.2.0/24\"");
}

Checked check_rules(const std::string& field, const google::protobuf::RepeatedPtrField<v1::SecurityRule>& rules) {
  if (rules.size() > kSecurityRulesMax) {
    return bad_field(field, "there are more than " + std::to_string(kSecurityRulesMax), "make several groups");
  }
  for (int i = 0; i < rules.size(); ++i) {
    GANTRY_CHECK(check_rule(field + "[" + std::to_string(i) + "]", rules.Get(i)));
  }
  return {};
}

}  // namespace

Checked check_groups(const std::string& field, const google::protobuf::RepeatedPtrField<std::string>& groups) {
  if (groups.size() > kSecurityGroupsMax) {
    return bad_field(field, "there are more than " + std::to_string(kSecurityGroupsMax), "leave some out");
  }
  for (const std::string& group : groups) GANTRY_CHECK(check_reference(field, group, true));
  return {};
}

Checked check_nic_groups(const v1::UpdateVmRequest& request) {
  std::set<std::uint32_t> nics;
  for (const v1::NicGroups& one : request.nic_security_groups()) {
    GANTRY_CHECK(check_range("nicSecurityGroups.nic", one.nic(), 0, kNicsMax - 1));
    if (!nics.insert(one.nic()).second)
      return bad_field("nicSecurityGroups.nic", "one NIC is named twice", "leave one out");
    GANTRY_CHECK(check_groups("nicSecurityGroups.securityGroups", one.security_groups()));
  }
  return {};
}

Checked validate(const v1::CreateSecurityGroupRequest& request) {
  GANTRY_CHECK(check_name("name", request.name()));
  GANTRY_CHECK(check_labels(request.labels()));
  return check_rules("spec.rules", request.spec().rules());
}

Checked validate(const v1::UpdateSecurityGroupRequest& request) {
  GANTRY_CHECK(check_reference("id", request.id(), true));
  GANTRY_CHECK(check_fields_to_change(request));
  GANTRY_CHECK(check_labels(request.labels()));
  return check_rules("rules", request.rules());
}

}  // namespace gantry::model
