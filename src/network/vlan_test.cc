// A VLAN of the host's uplink. Kernels without VLANs are refused cleanly, and the rest is for those that have them.
#include "network/links.h"
#include "network/test_host.h"
#include "network/vlan_rules.h"

namespace gantry::network {
namespace {

constexpr char kNet[] = "net-4f7k2m9qzt3x";

class Vlan : public OnHost {
 protected:
  void SetUp() override {
    OnHost::SetUp();
    network = nat_network();
    network.mutable_spec()->set_kind(v1::NetworkSpec::VLAN);
    network.mutable_spec()->clear_ipv4_subnet();
    network.mutable_spec()->set_vlan(120);
    network.mutable_spec()->set_uplink("uplink");
    outside = std::make_unique<Namespace>();
  }
  void plug_in() const {
    connect_cable("uplink", "eth0", *outside);
    must_run({"ip", "address", "add", "198.51.100.1/24", "dev", "uplink"});
    must_run({"ip", "link", "set", "uplink", "up"});
    outside->must_run({"ip", "address", "add", "198.51.100.2/24", "dev", "eth0"});
    outside->must_run({"ip", "link", "set", "eth0", "up"});
  }
  [[nodiscard]] static bool nothing_is_left() {
    return !link_exists(bridge_name(kNet)) && !link_exists(vlan_device(kNet));
  }

  v1::Network network;
  std::unique_ptr<Namespace> outside;
};

TEST_F(Vlan, WithoutTheUplinkThereIsNone) {
  EXPECT_EQ(driver->ensure_network(network).error().word(), "no_such_uplink");
  EXPECT_TRUE(nothing_is_left());
  EXPECT_TRUE(driver->remove_network(network));
}

// The kernel answers for an address of any device on a bridge that has none.
TEST_F(Vlan, ItsHostIsNoPartOfIt) {
  const std::string bridge = bridge_name(kNet);
  ASSERT_TRUE(make_bridge(bridge, bridge_mac(kNet)));
  const Namespace neighbour;
  const Namespace* others[] = {outside.get(), &neighbour};
  for (int i = 0; i < 2; ++i) {
    const std::string plug = "plug" + std::to_string(i);
    connect_cable(plug, "eth0", *others[i]);
    must_run({"ip", "link", "set", plug, "master", bridge, "up"});
    others[i]->must_run({"ip", "address", "add", "198.51.100." + std::to_string(2 + i) + "/24", "dev", "eth0"});
    others[i]->must_run({"ip", "link", "set", "eth0", "up"});
  }
  ASSERT_TRUE(set_link_up(bridge, true));
  must_run({"ip", "address", "add", "198.51.100.1/32", "dev", "lo"});
  must_run({"ip", "route", "add", "198.51.100.0/24", "dev", bridge});
  for (const std::string device : {"all", bridge.c_str()}) {
    ASSERT_TRUE(set_sysctl("ipv4/conf/" + device + "/rp_filter", "0"));
  }
  ASSERT_TRUE(outside->pings("198.51.100.1"));
  must_run({"nft", "-f", "-"}, vlan_rules(bridge));
  EXPECT_FALSE(outside->runs({"busybox", "ping", "-c", "1", "-W", "1", "198.51.100.1"}));
  EXPECT_TRUE(outside->pings("198.51.100.3"));
  outside->must_run({"ip", "neigh", "flush", "dev", "eth0"});
  EXPECT_FALSE(outside->runs({"busybox", "arping", "-c", "1", "-w", "1", "-I", "eth0", "198.51.100.1"}));
  EXPECT_FALSE(run({"busybox", "ping", "-c", "1", "-W", "1", "198.51.100.2"}));
  must_run({"nft", "-f", "-"}, vlan_removal(bridge));
  EXPECT_EQ(ruleset(), "");
}

TEST_F(Vlan, IsOnTheWireWhereTheKernelHasVlans) {
  plug_in();
  const auto ensured = driver->ensure_network(network);
  if (!ensured) {
    EXPECT_EQ(ensured.error().word(), "no_vlans") << ensured.error().to_text();
    EXPECT_TRUE(nothing_is_left());
    must_run({"busybox", "ping", "-c", "1", "-W", "2", "198.51.100.2"});
    GTEST_SKIP() << "this kernel makes no VLANs";
  }
  outside->must_run({"ip", "link", "add", "link", "eth0", "name", "floor", "type", "vlan", "id", "120"});
  outside->must_run({"ip", "address", "add", "10.9.0.1/24", "dev", "floor"});
  outside->must_run({"ip", "link", "set", "floor", "up"});
  const auto nic = must_attach(nic_request(kWeb, "web", "10.9.0.5", network));
  const Guest guest(nic.tap, nic.mac);
  guest.set_address("10.9.0.5", "10.9.0.1");
  EXPECT_TRUE(guest.space.pings("10.9.0.1"));
  // A guest of the VLAN does not reach its host there, flushed or not.
  for (const char* flushes : {"no", "yes"}) {
    EXPECT_FALSE(guest.space.runs({"busybox", "arping", "-c", "1", "-w", "1", "-I", "eth0", "198.51.100.1"}))
        << flushes;
    must_run({"nft", "flush", "ruleset"});
    driver->revive();
  }
  // The uplink is made anew, and the kernel took the VLAN with it.
  must_run({"ip", "link", "delete", vlan_device(kNet)});
  driver->revive();
  EXPECT_TRUE(guest.space.pings("10.9.0.1"));
  // The uplink serves its host as before, and goes on doing so.
  EXPECT_TRUE(outside->pings("198.51.100.1"));
  EXPECT_EQ(driver->remove_network(network).error().word(), "network_in_use");
  EXPECT_TRUE(driver->detach(kWeb));
  EXPECT_TRUE(driver->remove_network(network));
  EXPECT_TRUE(nothing_is_left());
  EXPECT_EQ(ruleset(), "");
  EXPECT_TRUE(outside->pings("198.51.100.1"));
}

}  // namespace
}  // namespace gantry::network
