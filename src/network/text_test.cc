// Plans, records, rulesets and configuration files, without touching the host.
#include <gtest/gtest.h>

#include "network/dhcp_release.h"
#include "network/dnsmasq_files.h"
#include "network/nic_store.h"
#include "network/occupied.h"
#include "network/ports.h"
#include "network/rights.h"
#include "network/rules.h"
#include "network/test_records.h"

namespace gantry::network {
namespace {

NicPlan nat_nic() {
  return plan_nic(nic_request(kWeb, "web", "10.66.0.5", nat_network()), v1::NetworkSpec::NAT).value();
}

TEST(Plan, TakesTheFirstAddressForTheHost) {
  const auto plan = plan_nat(nat_network());
  ASSERT_TRUE(plan) << plan.error().to_text();
  EXPECT_EQ(plan->bridge, "gn-4f7k2m9qzt3x");
  EXPECT_EQ(model::format_ipv4(plan->gateway), "10.66.0.1");
  EXPECT_EQ(plan->domain, "gantry");
}

TEST(Plan, RefusesNetworksThatMakeNoSense) {
  for (const char* subnet : {"", "10.66.0.0", "10.66.0.0/31", "10.0.0.0/7", "10.66.0.1/24"}) {
    auto network = nat_network();
    network.mutable_spec()->set_ipv4_subnet(subnet);
    EXPECT_FALSE(plan_nat(network)) << subnet;
  }
  auto network = nat_network();
  network.mutable_spec()->set_domain("a\nuser=root");
  EXPECT_FALSE(plan_nat(network));
  network = nat_network();
  network.mutable_meta()->set_id("net-../../etc/x");
  EXPECT_FALSE(plan_nat(network));
}

TEST(Plan, RefusesCardsThatMakeNoSense) {
  const auto refuses = [](auto change) {
    auto request = nic_request(kWeb, "web", "10.66.0.5", nat_network());
    change(request);
    return !plan_nic(request, request.network.spec().kind());
  };
  EXPECT_FALSE(refuses([](auto&) {}));
  EXPECT_TRUE(refuses([](auto& r) { r.vm_id = "vm-; reboot    "; }));
  EXPECT_TRUE(refuses([](auto& r) { r.index = 32; }));
  EXPECT_TRUE(refuses([](auto& r) { r.nic.set_mac("52:54:00:00:00:01 accept"); }));
  for (const char* address : {"", "10.66.0.0", "10.66.0.1", "10.66.0.255", "10.66.1.5", "10.66.0.5; }"}) {
    EXPECT_TRUE(refuses([&](auto& r) { r.nic.set_ipv4(address); })) << address;
  }
  EXPECT_TRUE(refuses([](auto& r) { r.nic.add_port_forwards()->set_guest_port(22); }));
  EXPECT_TRUE(refuses([](auto& r) { add_forward(r, "::1", 2222, 22); }));
  EXPECT_TRUE(refuses([](auto& r) { add_forward(r, "", 70000, 22); }));
  EXPECT_TRUE(refuses([](auto& r) {
    r.network.mutable_spec()->set_kind(v1::NetworkSpec::BRIDGE);
    r.network.mutable_spec()->set_bridge("br0\" accept");
  }));
}

TEST(Plan, LeavesOutNamesThatDnsCannotHave) {
  auto request = nic_request(kWeb, "web,10.66.0.1", "10.66.0.5", nat_network());
  EXPECT_EQ(plan_nic(request, v1::NetworkSpec::NAT)->vm_name, "");
}

TEST(NicStore, ReadsWhatItWrote) {
  auto request = nic_request(kWeb, "web", "10.66.0.5", nat_network());
  add_forward(request, "0.0.0.0", 8080, 80);
  const auto nic = plan_nic(request, v1::NetworkSpec::NAT);
  EXPECT_EQ(decode_nic(encode_nic(*nic)).value(), *nic);
  const auto user = plan_nic(request, v1::NetworkSpec::USER);
  EXPECT_EQ(decode_nic(encode_nic(*user)).value(), *user);
}

TEST(NicStore, RefusesADamagedRecord) {
  const std::string good = encode_nic(nat_nic());
  for (std::size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(decode_nic(good.substr(0, size))) << size;
  EXPECT_FALSE(decode_nic("[]"));
  EXPECT_FALSE(decode_nic("{\"vm_id\": 7}"));
}

TEST(Rules, GuardACardOfANatNetwork) {
  EXPECT_EQ(nic_rules(nat_nic()), R"(add table bridge gantry
add map bridge gantry guests { type ifname : verdict; }
add chain bridge gantry prerouting { type filter hook prerouting priority -300; policy accept; }
flush chain bridge gantry prerouting
add rule bridge gantry prerouting iifname vmap @guests
add chain bridge gantry gt4f7k2m9qzt3x0
flush chain bridge gantry gt4f7k2m9qzt3x0
add rule bridge gantry gt4f7k2m9qzt3x0 ether saddr != 52:54:00:00:00:05 drop
add rule bridge gantry gt4f7k2m9qzt3x0 ether type != { arp, ip, ip6 } drop
add rule bridge gantry gt4f7k2m9qzt3x0 arp saddr ether != 52:54:00:00:00:05 drop
add rule bridge gantry gt4f7k2m9qzt3x0 arp saddr ip != { 0.0.0.0, 10.66.0.5 } drop
add rule bridge gantry gt4f7k2m9qzt3x0 ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept
add rule bridge gantry gt4f7k2m9qzt3x0 ip saddr != 10.66.0.5 drop
add rule bridge gantry gt4f7k2m9qzt3x0 udp dport { 68, 546 } drop
add rule bridge gantry gt4f7k2m9qzt3x0 icmpv6 type { nd-router-advert, nd-redirect } drop
add rule bridge gantry gt4f7k2m9qzt3x0 exthdr frag exists drop
add rule bridge gantry gt4f7k2m9qzt3x0 ip6 saddr != { ::, fe80:0000:0000:0000:5054:00ff:fe00:0005 } drop
add rule bridge gantry gt4f7k2m9qzt3x0 icmpv6 type nd-neighbor-advert @th,64,128 != 0xfe80000000000000505400fffe000005 drop
add element bridge gantry guests { "gt4f7k2m9qzt3x0" : jump gt4f7k2m9qzt3x0 }
)");
}

TEST(Rules, GuardNothingWhereSpoofingIsAllowed) {
  NicPlan nic = nat_nic();
  nic.allow_spoofing = true;
  EXPECT_EQ(nic_rules(nic).find("drop"), std::string::npos);
}

TEST(Rules, ForwardPortsByElementsOfMaps) {
  NicPlan nic = nat_nic();
  nic.forwards = {{false, {0x7f000001}, 2222, 22}, {true, {0}, 5353, 53}};
  const std::string added = nic_rules(nic);
  const std::string removed = nic_removal(nic);
  EXPECT_NE(added.find("add element inet gn-4f7k2m9qzt3x forwards { tcp . 127.0.0.1 . 2222 : 10.66.0.5 . 22 }\n"
                       "add element inet gn-4f7k2m9qzt3x forwards_any { udp . 5353 : 10.66.0.5 . 53 }\n"),
            std::string::npos);
  EXPECT_NE(removed.find("delete element inet gn-4f7k2m9qzt3x forwards { tcp . 127.0.0.1 . 2222 }\n"),
            std::string::npos);
  EXPECT_NE(removed.find("delete element inet gn-4f7k2m9qzt3x forwards_any { udp . 5353 }\n"), std::string::npos);
}

TEST(DnsmasqFiles, ServeOneNetwork) {
  const auto plan = plan_nat(nat_network()).value();
  EXPECT_EQ(dnsmasq_config(plan, dnsmasq_paths("/d"), {"dnsmasq", "nogroup", 1, 2}, ""),
            R"(# Written by gantryd, which writes it anew whenever it differs from this.
interface=gn-4f7k2m9qzt3x
except-interface=lo
bind-dynamic
user=dnsmasq
group=nogroup
pid-file=/d/dnsmasq.pid
no-hosts
addn-hosts=/d/dns
domain=gantry
local=/gantry/
domain-needed
bogus-priv
dhcp-range=10.66.0.0,static,255.255.255.0,1h
dhcp-hostsfile=/d/dhcp
dhcp-ignore-names
dhcp-authoritative
dhcp-no-override
dhcp-leasefile=/d/leases
dhcp-lease-max=65536
dhcp-option=option:router,10.66.0.1
quiet-dhcp
)");
  EXPECT_EQ(dhcp_host_line(nat_nic()), "52:54:00:00:00:05,10.66.0.5,web\n");
  NicPlan nic = nat_nic();
  nic.vm_name = "ignore";
  EXPECT_EQ(dhcp_host_line(nic), "52:54:00:00:00:05,10.66.0.5\n");
  EXPECT_EQ(dns_host_line(nat_nic()), "10.66.0.5 web.gantry web\n");
}

TEST(DnsmasqFiles, ReadLeases) {
  const auto leases =
      parse_leases("1700000000 52:54:00:00:00:05 10.66.0.5 web 01:52\nduid 00:01\n\n1 bad 10.66.0.6 *\n");
  ASSERT_EQ(leases.size(), 1U);
  EXPECT_EQ(leases[0].mac, "52:54:00:00:00:05");
  EXPECT_EQ(model::format_ipv4(leases[0].address), "10.66.0.5");
}

TEST(DhcpRelease, HasTheFormOfRfc2131) {
  const std::string message = make_dhcp_release({0x0a420001}, {"52:54:00:00:00:05", {0x0a420005}});
  ASSERT_EQ(message.size(), 300U);
  EXPECT_EQ(message.substr(12, 4), std::string("\x0a\x42\x00\x05", 4));
  EXPECT_EQ(message.substr(28, 6), std::string("\x52\x54\x00\x00\x00\x05", 6));
  EXPECT_EQ(message.substr(236, 14), std::string("\x63\x82\x53\x63\x35\x01\x07\x36\x04\x0a\x42\x00\x01\xff", 14));
}

TEST(Occupied, ReadsTheKernelsRoutes) {
  const auto routes = parse_routes(
      "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
      "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
      "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\nbroken\n");
  ASSERT_EQ(routes.size(), 2U);
  EXPECT_EQ(model::format_ipv4_subnet(routes[0].subnet), "0.0.0.0/0");
  EXPECT_EQ(model::format_ipv4_subnet(routes[1].subnet), "192.0.2.0/24");
  EXPECT_EQ(routes[1].device, "eth0");
}

TEST(Ports, CollideWhereTheyTakeTheSamePackets) {
  const Forward local{false, {0x7f000001}, 80, 80};
  EXPECT_TRUE(collide(local, {false, {0}, 80, 81}));
  EXPECT_FALSE(collide(local, {true, {0}, 80, 81}));
  EXPECT_FALSE(collide(local, {false, {0x0a000001}, 80, 81}));
  EXPECT_FALSE(collide(local, {false, {0}, 81, 81}));
}

TEST(Rights, AreReadFromTheStatus) {
  EXPECT_TRUE(has_net_admin("CapPrm:\t0\nCapEff:\t000001ffffffffff\n"));
  EXPECT_TRUE(has_net_admin("CapEff:\t0000000000001000\n"));
  EXPECT_FALSE(has_net_admin("CapEff:\t0000000000000fff\n"));
  EXPECT_FALSE(has_net_admin(""));
}

}  // namespace
}  // namespace gantry::network
