// Overlays and security groups as text, without touching the host.
#include <gmock/gmock.h>

#include "network/group_rules.h"
#include "network/nic_store.h"
#include "network/overlay_entries.h"
#include "network/overlay_rules.h"
#include "network/rules.h"
#include "network/test_records.h"

namespace gantry::network {
namespace {

using testing::HasSubstr;
using testing::Not;
using Rule = v1::SecurityRule;

v1::OverlayEntry entry(const std::string& mac, const std::string& address) {
  v1::OverlayEntry one;
  one.set_mac(mac);
  one.set_address(address);
  return one;
}

TEST(OverlayEntries, WhatIsNoAddressIsLeftOut) {
  const auto state = wanted_state({entry("52:54:00:00:00:01", "192.0.2.1"), entry("52:54:00:00:00:02", "192.0.2.1"),
                                   entry("52:54:00:00:00:03\nfdb del", "192.0.2.2"),
                                   entry("52:54:00:00:00:04", "192.0.2.2; reboot"), entry("", "192.0.2.2")});
  EXPECT_EQ(state.hosts.size(), 2U);
  EXPECT_EQ(state.flooded, std::set<std::string>{"192.0.2.1"});
}

TEST(OverlayEntries, AreReadAsBridgeWritesThem) {
  const auto state = parse_state(R"([{"mac":"52:54:00:00:00:01","flags":[],"master":"gn-x","state":"static"},
    {"mac":"8e:15:2a:11:c0:19","flags":[],"master":"gn-x","state":"permanent"},
    {"mac":"52:54:00:00:00:01","dst":"192.0.2.1","flags":["self"],"state":"static"},
    {"mac":"00:00:00:00:00:00","dst":"192.0.2.1","flags":["self"],"state":"permanent"}, 7, {"mac":4}])");
  ASSERT_TRUE(state);
  EXPECT_EQ(*state, wanted_state({entry("52:54:00:00:00:01", "192.0.2.1")}));
  EXPECT_FALSE(parse_state("[{"));
  EXPECT_FALSE(parse_state("{}"));
}

TEST(OverlayEntries, OnlyWhatChangesIsWritten) {
  const auto before = wanted_state({entry("52:54:00:00:00:01", "192.0.2.1"), entry("52:54:00:00:00:02", "192.0.2.2")});
  const auto after = wanted_state({entry("52:54:00:00:00:01", "192.0.2.3"), entry("52:54:00:00:00:09", "192.0.2.1")});
  EXPECT_EQ(state_changes("gx-0", before, after),
            "fdb replace 52:54:00:00:00:01 dev gx-0 dst 192.0.2.3 self static\n"
            "fdb replace 52:54:00:00:00:09 dev gx-0 dst 192.0.2.1 self static\n"
            "fdb replace 52:54:00:00:00:09 dev gx-0 master static\n"
            "fdb append 00:00:00:00:00:00 dev gx-0 dst 192.0.2.3 self permanent\n"
            "fdb del 52:54:00:00:00:02 dev gx-0 master\n"
            "fdb del 52:54:00:00:00:02 dev gx-0 self\n"
            "fdb del 00:00:00:00:00:00 dev gx-0 dst 192.0.2.2 self\n");
  EXPECT_EQ(state_changes("gx-0", after, after), "");
}

TEST(OverlayRules, KeepGatewaysApartAndStrangersOut) {
  auto network = nat_network();
  network.mutable_spec()->set_kind(v1::NetworkSpec::OVERLAY);
  auto plan = plan_nat(network).value();
  plan.overlay = OverlayPlan{.vni = 4242, .device = "gx-4f7k2m9qzt3x", .local = {}, .peers = {"192.0.2.1"}};
  const std::string rules = network_rules(plan);
  EXPECT_THAT(rules,
              HasSubstr("add rule inet gn-4f7k2m9qzt3x underlay udp dport 4789 @th,96,24 4242 ip saddr != @peers "
                        "drop\n"));
  EXPECT_THAT(rules, HasSubstr("flush set inet gn-4f7k2m9qzt3x peers\n"
                               "add element inet gn-4f7k2m9qzt3x peers { 192.0.2.1 }\n"));
  EXPECT_THAT(rules, HasSubstr("add rule bridge gn-4f7k2m9qzt3x crossing arp daddr ip 10.66.0.1 drop\n"));
  EXPECT_THAT(network_removal(plan), HasSubstr("delete table bridge gn-4f7k2m9qzt3x\n"));
  plan.overlay.reset();
  EXPECT_THAT(network_rules(plan), Not(HasSubstr("bridge gn-")));
}

NicPlan guarded_nic(const std::vector<Rule>& rules) {
  auto request = nic_request(kWeb, "web", "10.66.0.5", nat_network());
  add_group(request, "sg-000000000001", rules);
  return plan_nic(request, v1::NetworkSpec::NAT).value();
}

TEST(GroupRules, SayWhatIsLetThrough) {
  Rule range = rule_of(Rule::INGRESS, Rule::TCP, 8000, "192.0.2.0/24");
  range.set_port_last(8099);
  const std::string rules =
      nic_rules(guarded_nic({range, rule_of(Rule::EGRESS, Rule::ICMP), rule_of(Rule::EGRESS, Rule::ANY)}));
  EXPECT_THAT(rules, HasSubstr("add rule bridge gantry in-gt4f7k2m9qzt3x0 meta l4proto tcp th dport 8000-8099 "
                               "ip saddr { 192.0.2.0/24 } accept\n"
                               "add rule bridge gantry in-gt4f7k2m9qzt3x0 drop\n"));
  EXPECT_THAT(rules, HasSubstr("add rule bridge gantry out-gt4f7k2m9qzt3x0 meta l4proto { icmp, icmpv6 } accept\n"
                               "add rule bridge gantry out-gt4f7k2m9qzt3x0 accept\n"
                               "add rule bridge gantry out-gt4f7k2m9qzt3x0 drop\n"));
  EXPECT_THAT(nic_rules(plan_nic(nic_request(kWeb, "web", "10.66.0.5", nat_network()), v1::NetworkSpec::NAT).value()),
              Not(HasSubstr("gantry_state")));
}

// On a foreign segment nobody knows who serves DHCP: a guest may ask all, and not whom it likes.
TEST(GroupRules, DhcpIsAskedOfTheServerOrOfAll) {
  auto nic = guarded_nic({});
  EXPECT_THAT(nic_rules(nic), HasSubstr("out-gt4f7k2m9qzt3x0 ip daddr { 255.255.255.255, 10.66.0.1 } udp sport 68"));
  EXPECT_THAT(nic_rules(nic), HasSubstr("in-gt4f7k2m9qzt3x0 ip saddr 10.66.0.1 udp sport 67 udp dport 68 accept"));
  nic.gateway.reset();
  EXPECT_EQ(decode_nic(encode_nic(nic)).value(), nic);
  EXPECT_THAT(nic_rules(nic), HasSubstr("out-gt4f7k2m9qzt3x0 ip daddr { 255.255.255.255 } udp sport 68"));
}

TEST(GroupRules, TextsOfOthersReachNoRule) {
  auto request = nic_request(kWeb, "web", "10.66.0.5", nat_network());
  auto& group = add_group(request, "sg-1 accept", {rule_of(Rule::INGRESS, Rule::TCP, 22, "0.0.0.0/0 accept; ")});
  group.add_members("10.0.0.1 } accept");
  group.mutable_group()->mutable_spec()->add_rules()->set_group("sg-1 accept");
  const auto nic = plan_nic(request, v1::NetworkSpec::NAT);
  ASSERT_TRUE(nic);
  ASSERT_TRUE(nic->filter);
  EXPECT_TRUE(nic->filter->empty());
}

TEST(GroupRules, OutliveTheDaemonInTheNicsRecord) {
  for (auto nic : {guarded_nic({}), guarded_nic({rule_of(Rule::INGRESS, Rule::UDP, 53, "10.0.0.0/8")})}) {
    EXPECT_EQ(decode_nic(encode_nic(nic)).value(), nic);
    nic.kind = v1::NetworkSpec::OVERLAY;
    EXPECT_EQ(decode_nic(encode_nic(nic)).value(), nic);
  }
  auto bad = guarded_nic({rule_of(Rule::INGRESS, Rule::ANY, 0, "10.0.0.0/8")});
  bad.filter->front().peers = {"10.0.0.0/8 accept"};
  EXPECT_FALSE(decode_nic(encode_nic(bad)));
}

TEST(GroupRules, ThereAreNoneInUserMode) {
  auto request = nic_request(kWeb, "web", "10.66.0.5", nat_network());
  add_group(request, "sg-000000000001", {});
  EXPECT_EQ(plan_nic(request, v1::NetworkSpec::USER).error().word(), "groups_not_held");
}

TEST(Plan, AVlanNeedsANumberAndAnUplink) {
  auto network = nat_network();
  network.mutable_spec()->set_kind(v1::NetworkSpec::VLAN);
  network.mutable_spec()->set_vlan(120);
  network.mutable_spec()->set_uplink("eno1");
  const auto plan = plan_vlan(network);
  ASSERT_TRUE(plan) << plan.error().to_text();
  EXPECT_EQ(plan->device, "gv-4f7k2m9qzt3x");
  for (const char* uplink : {"", "a b", "..", "0123456789abcdef"}) {
    network.mutable_spec()->set_uplink(uplink);
    EXPECT_FALSE(plan_vlan(network)) << uplink;
  }
}

}  // namespace
}  // namespace gantry::network
