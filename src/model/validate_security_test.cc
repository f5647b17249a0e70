#include <gtest/gtest.h>

#include "model/validate.h"

namespace gantry::model {
namespace {

template <class Request>
std::string wrong_field(const Request& request) {
  const auto checked = validate(request);
  return checked ? "" : checked.error().summary;
}

v1::CreateNetworkRequest network_of(v1::NetworkSpec::Kind kind) {
  v1::CreateNetworkRequest request;
  request.set_name("segment");
  request.mutable_spec()->set_kind(kind);
  return request;
}

TEST(ValidateNetwork, OnEveryHostItTakesNoHost) {
  EXPECT_EQ(wrong_field(network_of(v1::NetworkSpec::OVERLAY)), "");
  auto request = network_of(v1::NetworkSpec::OVERLAY);
  request.set_host("beta");
  EXPECT_NE(wrong_field(request).find("host"), std::string::npos);
  request = network_of(v1::NetworkSpec::OVERLAY);
  request.mutable_spec()->set_vni(7);
  EXPECT_NE(wrong_field(request).find("vni"), std::string::npos);
  request = network_of(v1::NetworkSpec::OVERLAY);
  request.mutable_spec()->set_mtu(1400);
  request.mutable_spec()->set_ipv4_subnet("10.70.0.0/24");
  EXPECT_EQ(wrong_field(request), "");
  request.mutable_spec()->set_mtu(500);
  EXPECT_NE(wrong_field(request).find("mtu"), std::string::npos);
  request = network_of(v1::NetworkSpec::NAT);
  request.mutable_spec()->set_mtu(1400);
  EXPECT_NE(wrong_field(request).find("mtu"), std::string::npos);
}

TEST(ValidateNetwork, AVlanNeedsANumberAndAnUplink) {
  auto request = network_of(v1::NetworkSpec::VLAN);
  request.mutable_spec()->set_uplink("eno1");
  EXPECT_NE(wrong_field(request).find("vlan"), std::string::npos);
  request.mutable_spec()->set_vlan(4095);
  EXPECT_NE(wrong_field(request).find("vlan"), std::string::npos);
  request.mutable_spec()->set_vlan(4094);
  EXPECT_EQ(wrong_field(request), "");
  request.mutable_spec()->set_uplink("eno1; reboot");
  EXPECT_NE(wrong_field(request).find("uplink"), std::string::npos);
  request.mutable_spec()->set_kind(v1::NetworkSpec::NAT);
  EXPECT_NE(wrong_field(request).find("vlan"), std::string::npos);
}

v1::CreateSecurityGroupRequest group_of(v1::SecurityRule::Protocol protocol, std::uint32_t port, std::uint32_t last,
                                        const std::string& subnet = "", const std::string& group = "") {
  v1::CreateSecurityGroupRequest request;
  request.set_name("web");
  v1::SecurityRule& rule = *request.mutable_spec()->add_rules();
  rule.set_protocol(protocol);
  rule.set_port(port);
  rule.set_port_last(last);
  rule.set_subnet(subnet);
  rule.set_group(group);
  return request;
}

TEST(ValidateSecurityGroup, ChecksPortsAndPeers) {
  using Rule = v1::SecurityRule;
  EXPECT_EQ(wrong_field(group_of(Rule::TCP, 80, 90, "192.0.2.0/24")), "");
  EXPECT_EQ(wrong_field(group_of(Rule::ANY, 0, 0, "", "web")), "");
  EXPECT_NE(wrong_field(group_of(Rule::ICMP, 80, 0)).find("rules[0].port"), std::string::npos);
  EXPECT_NE(wrong_field(group_of(Rule::TCP, 90, 80)).find("portLast"), std::string::npos);
  EXPECT_NE(wrong_field(group_of(Rule::UDP, 70'000, 0)).find("port"), std::string::npos);
  EXPECT_NE(wrong_field(group_of(Rule::ANY, 0, 0, "192.0.2.1/24")).find("subnet"), std::string::npos);
  EXPECT_NE(wrong_field(group_of(Rule::ANY, 0, 0, "192.0.2.0/24", "web")).find("subnet"), std::string::npos);
  auto many = group_of(Rule::ANY, 0, 0);
  for (int i = 0; i < kSecurityRulesMax; ++i) many.mutable_spec()->add_rules();
  EXPECT_NE(wrong_field(many).find("rules"), std::string::npos);
}

TEST(ValidateSecurityGroup, ChecksWhatNicsAreGiven) {
  v1::UpdateVmRequest request;
  request.set_id("web");
  request.add_nic_security_groups()->add_security_groups("admin");
  EXPECT_EQ(wrong_field(request), "");
  request.add_nic_security_groups();
  EXPECT_NE(wrong_field(request).find("nicSecurityGroups"), std::string::npos) << "one NIC twice";
  request.mutable_nic_security_groups(1)->set_nic(kNicsMax);
  EXPECT_NE(wrong_field(request).find("nicSecurityGroups"), std::string::npos);
  v1::UpdateSecurityGroupRequest nothing;
  nothing.set_id("web");
  EXPECT_NE(wrong_field(nothing).find("updateMask"), std::string::npos);
}

}  // namespace
}  // namespace gantry::model
