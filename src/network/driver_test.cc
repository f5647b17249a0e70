// What is made on a host and taken away again, in a network namespace.
#include "network/driver.h"

#include <linux/capability.h>
#include <signal.h>
#include <sys/syscall.h>

#include <algorithm>
#include <sstream>

#include "network/generation.h"
#include "network/links.h"
#include "network/occupied.h"
#include "network/rules.h"
#include "network/test_host.h"
#include "runtime/files.h"

namespace gantry::network {
namespace {

using DriverTest = OnHost;

// A process that ended but was not waited for has no command line.
bool runs(pid_t pid) { return !runtime::read_file("/proc/" + std::to_string(pid) + "/cmdline").value_or("").empty(); }

TEST_F(DriverTest, LeavesNothingOfWhatItMade) {
  const auto network = nat_network();
  const auto links = link_names();
  EXPECT_EQ(must_ensure(network).effective_kind, v1::NetworkSpec::NAT);
  const pid_t dnsmasq = std::stoi(dnsmasq_pid());
  EXPECT_TRUE(runs(dnsmasq));
  auto request = nic_request(kWeb, "web", "10.66.0.5", network);
  add_forward(request, "", 2222, 22);
  must_attach(request);
  EXPECT_TRUE(link_exists(tap_name(kWeb, 0)));

  EXPECT_TRUE(driver->detach(kWeb));
  EXPECT_TRUE(driver->detach(kWeb));
  EXPECT_TRUE(driver->remove_network(network));
  EXPECT_TRUE(driver->remove_network(network));
  EXPECT_EQ(link_names(), links);
  EXPECT_EQ(ruleset(), "");
  EXPECT_FALSE(runs(dnsmasq));
  EXPECT_TRUE(std::filesystem::is_empty(directory + "/state/nics"));
  EXPECT_TRUE(std::filesystem::is_empty(directory + "/state/networks"));
}

TEST_F(DriverTest, ChangesNothingWhenAllIsThere) {
  const auto network = nat_network();
  auto request = nic_request(kWeb, "web", "10.66.0.5", network);
  add_forward(request, "", 2222, 22);
  must_ensure(network);
  const auto nic = must_attach(request);
  const auto in_use = open_tap_device(nic.tap);
  const std::string rules = ruleset();
  const std::string links = must_run({"ip", "-o", "address"});
  const std::string pid = dnsmasq_pid();

  restart();
  must_ensure(network);
  EXPECT_EQ(must_attach(request).tap, nic.tap);
  EXPECT_EQ(ruleset(), rules);
  EXPECT_EQ(must_run({"ip", "-o", "address"}), links);
  EXPECT_EQ(dnsmasq_pid(), pid);
}

TEST_F(DriverTest, PutsRightWhatWasLost) {
  const auto network = nat_network();
  auto request = nic_request(kWeb, "web", "10.66.0.5", network);
  add_forward(request, "", 2222, 22);
  must_ensure(network);
  must_attach(request);
  const std::string rules = ruleset();
  must_run({"nft", "flush", "ruleset"});
  must_run({"ip", "link", "delete", bridge_name(network.meta().id())});
  must_ensure(network);
  EXPECT_EQ(ruleset(), rules);
  EXPECT_NE(must_run({"ip", "link", "show", tap_name(kWeb, 0)}).find("master gn-4f7k2m9qzt3x"), std::string::npos);
}

TEST_F(DriverTest, RemovesWhatAnEarlierDaemonAttached) {
  const auto network = nat_network();
  must_ensure(network);
  must_attach(nic_request(kWeb, "web", "10.66.0.5", network));
  restart();
  EXPECT_EQ(driver->remove_network(network).error().word(), "network_in_use");
  EXPECT_TRUE(driver->detach(kWeb));
  EXPECT_FALSE(link_exists(tap_name(kWeb, 0)));
  EXPECT_TRUE(driver->remove_network(network));
  EXPECT_EQ(ruleset(), "");
}

TEST_F(DriverTest, DetachesOneVmAlone) {
  const auto network = nat_network();
  must_ensure(network);
  must_attach(nic_request(kWeb, "web", "10.66.0.5", network));
  auto second = nic_request(kWeb, "web", "10.66.0.6", network);
  second.index = 1;
  must_attach(second);
  const std::string rules = ruleset();
  must_attach(nic_request(kDatabase, "database", "10.66.0.7", network));
  EXPECT_TRUE(driver->detach(kDatabase));
  EXPECT_EQ(ruleset(), rules);
  EXPECT_TRUE(link_exists(tap_name(kWeb, 0)));
  EXPECT_TRUE(link_exists(tap_name(kWeb, 1)));
}

// Its lines; tables and chains stand in the order in which they were made.
std::vector<std::string> sorted_ruleset() {
  std::istringstream text(must_run({"nft", "list", "ruleset"}));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) {
    // Of a map's elements the last has no comma and the last line a brace.
    while (!line.empty() && (line.back() == ',' || line.back() == '}' || line.back() == ' ')) line.pop_back();
    lines.push_back(line);
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

// As the reload of a host's firewall service does.
TEST_F(DriverTest, PutsFlushedRulesBack) {
  const auto network = nat_network();
  auto request = nic_request(kWeb, "web", "10.66.0.5", network);
  add_forward(request, "", 2222, 22);
  must_ensure(network);
  must_attach(request);
  must_run({"ip", "link", "add", "br0", "type", "bridge"});
  v1::Network bridged;
  bridged.mutable_meta()->set_id("net-000000000002");
  bridged.mutable_spec()->set_kind(v1::NetworkSpec::BRIDGE);
  bridged.mutable_spec()->set_bridge("br0");
  auto third = nic_request(kDatabase, "database", "10.66.0.7", bridged);
  third.nic.clear_ipv4();
  must_attach(third);
  const auto rules = sorted_ruleset();

  must_run({"nft", "flush", "ruleset"});
  driver->revive();
  EXPECT_EQ(sorted_ruleset(), rules);

  // Also when something is attached before anybody looked.
  must_run({"nft", "flush", "ruleset"});
  auto second = nic_request(kWeb, "web", "10.66.0.6", network);
  second.index = 1;
  must_attach(second);
  const auto more = sorted_ruleset();
  EXPECT_GT(more.size(), rules.size());
  EXPECT_TRUE(std::includes(more.begin(), more.end(), rules.begin(), rules.end()));

  // And by a daemon that was not there when it happened.
  must_run({"nft", "flush", "ruleset"});
  restart();
  must_ensure(network);
  EXPECT_EQ(sorted_ruleset(), more);
}

TEST_F(DriverTest, LeavesRulesOfOthersAlone) {
  must_ensure(nat_network());
  const auto before = ruleset_generation();
  ASSERT_TRUE(before);
  driver->revive();
  EXPECT_EQ(ruleset_generation(), before);
  must_run({"nft", "add", "table", "inet", "foreign"});
  driver->revive();
  EXPECT_EQ(ruleset_generation(), *before + 1);
  EXPECT_NE(ruleset().find("table inet foreign"), std::string::npos);
}

TEST_F(DriverTest, TellsTheSubnetsOfTheHostAlone) {
  EXPECT_EQ(host_subnets(), std::vector<OccupiedSubnet>{});
  must_run({"ip", "link", "add", "uplink", "type", "bridge"});
  must_run({"ip", "address", "add", "192.0.2.7/26", "dev", "uplink"});
  must_run({"ip", "link", "set", "uplink", "up"});
  must_run({"ip", "route", "add", "default", "via", "192.0.2.1"});
  must_run({"ip", "route", "add", "198.51.100.0/24", "via", "192.0.2.1"});
  must_ensure(nat_network());
  const OccupiedSubnet gantrys{model::parse_ipv4_subnet(nat_network().spec().ipv4_subnet()).value(),
                               bridge_name(nat_network().meta().id())};
  const OccupiedSubnet own{model::parse_ipv4_subnet("192.0.2.0/26").value(), "uplink"};
  const OccupiedSubnet routed{model::parse_ipv4_subnet("198.51.100.0/24").value(), "uplink"};
  EXPECT_EQ(host_subnets(), (std::vector<OccupiedSubnet>{gantrys, own, routed}));
}

TEST_F(DriverTest, RevivesADeadDnsmasq) {
  const auto network = nat_network();
  must_ensure(network);
  const pid_t first = std::stoi(dnsmasq_pid());
  ASSERT_EQ(::kill(first, SIGKILL), 0);
  while (runs(first)) std::this_thread::yield();
  driver->revive();
  const pid_t second = std::stoi(dnsmasq_pid());
  EXPECT_NE(second, first);
  EXPECT_TRUE(runs(second));
}

TEST_F(DriverTest, RestartsDnsmasqForAnotherDomain) {
  auto network = nat_network();
  must_ensure(network);
  const std::string first = dnsmasq_pid();
  network.mutable_spec()->set_domain("lab.example");
  must_ensure(network);
  EXPECT_NE(dnsmasq_pid(), first);
}

TEST_F(DriverTest, RefusesASubnetTheHostUses) {
  must_run({"ip", "link", "add", "lan0", "type", "bridge"});
  must_run({"ip", "address", "add", "10.66.0.77/16", "dev", "lan0"});
  const auto links = link_names();
  const auto ensured = driver->ensure_network(nat_network());
  ASSERT_FALSE(ensured);
  EXPECT_EQ(ensured.error().word(), "subnet_in_use");
  EXPECT_NE(ensured.error().cause.find("lan0"), std::string::npos);
  EXPECT_EQ(link_names(), links);
}

TEST_F(DriverTest, RefusesASubnetTheHostRoutes) {
  must_run({"ip", "link", "add", "lan0", "type", "bridge"});
  must_run({"ip", "address", "add", "192.168.9.1/24", "dev", "lan0"});
  must_run({"ip", "link", "set", "lan0", "up"});
  must_run({"ip", "route", "add", "default", "via", "192.168.9.2"});
  must_ensure(nat_network("net-000000000002", "10.67.0.0/24"));
  must_run({"ip", "route", "add", "10.66.0.128/25", "via", "192.168.9.2"});
  EXPECT_EQ(driver->ensure_network(nat_network()).error().word(), "subnet_in_use");
}

TEST_F(DriverTest, JoinsABridgeThatExists) {
  v1::Network network = nat_network();
  network.mutable_spec()->set_kind(v1::NetworkSpec::BRIDGE);
  network.mutable_spec()->set_bridge("br0");
  const auto none = driver->ensure_network(network);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().word(), "no_such_bridge");
  EXPECT_NE(none.error().cause.find("br0"), std::string::npos);

  must_run({"ip", "link", "add", "br0", "mtu", "9000", "type", "bridge"});
  EXPECT_EQ(must_ensure(network).effective_kind, v1::NetworkSpec::BRIDGE);
  const auto nic = must_attach(nic_request(kWeb, "web", "192.168.9.5", network));
  const std::string facts = must_run({"ip", "-d", "link", "show", nic.tap});
  EXPECT_NE(facts.find("master br0"), std::string::npos) << facts;
  EXPECT_NE(facts.find("mtu 9000"), std::string::npos) << facts;
  EXPECT_NE(facts.find("user 1000000001"), std::string::npos) << facts;
  EXPECT_NE(facts.find("vnet_hdr on"), std::string::npos) << facts;
  EXPECT_TRUE(driver->detach(kWeb));
  EXPECT_TRUE(driver->remove_network(network));
  EXPECT_TRUE(link_exists("br0"));
  EXPECT_EQ(ruleset(), "");
}

TEST_F(DriverTest, NeedsNoTapInUserMode) {
  v1::Network network = nat_network();
  network.mutable_spec()->set_kind(v1::NetworkSpec::USER);
  EXPECT_EQ(must_ensure(network).reason, "");
  auto request = nic_request(kWeb, "web", "10.66.0.5", network);
  add_forward(request, "", 2222, 22);
  const auto nic = must_attach(request);
  EXPECT_EQ(nic.tap, "");
  ASSERT_EQ(nic.forwards.size(), 1U);
  EXPECT_EQ(nic.forwards[0].host_port(), 2222U);
  request.vm_id = kDatabase;
  EXPECT_EQ(driver->attach(request).error().word(), "port_in_use");
  EXPECT_TRUE(driver->detach(kWeb));
  EXPECT_TRUE(driver->attach(request));
  EXPECT_EQ(link_names(), std::vector<std::string>{"lo"});
  EXPECT_TRUE(driver->detach(kDatabase));
  EXPECT_TRUE(driver->remove_network(network));
  EXPECT_EQ(ruleset(), "");
}

TEST_F(DriverTest, TheLoopbackGuardStaysWhileAnybodyNeedsIt) {
  v1::Network network = nat_network();
  network.mutable_spec()->set_kind(v1::NetworkSpec::USER);
  v1::Network other = network;
  other.mutable_meta()->set_id("net-000000000002");
  must_ensure(network);
  must_ensure(other);
  const auto guarded = [this] { return ruleset().find(kLoopbackGuard) != std::string::npos; };
  EXPECT_TRUE(guarded());
  EXPECT_TRUE(driver->remove_network(network));
  EXPECT_TRUE(guarded());
  must_run({"nft", "flush", "ruleset"});
  driver->revive();
  EXPECT_TRUE(guarded());
  // Another daemon, which was not told of the other network yet, but knows its guest.
  must_attach(nic_request(kWeb, "web", "10.66.0.5", other));
  restart();
  EXPECT_TRUE(driver->remove_network(network));
  EXPECT_TRUE(guarded());
  EXPECT_TRUE(driver->detach(kWeb));
  EXPECT_TRUE(driver->remove_network(other));
  EXPECT_FALSE(guarded());
  // What falls back to user mode for a time.
  must_ensure(network);
  EXPECT_TRUE(guarded());
  network.mutable_spec()->set_kind(v1::NetworkSpec::NAT);
  must_ensure(network);
  EXPECT_FALSE(guarded());
}

TEST_F(DriverTest, SaysWhatGuestsInUserModeAreNotKeptFrom) {
  v1::Network network = nat_network();
  network.mutable_spec()->set_kind(v1::NetworkSpec::USER);
  driver = std::make_unique<Driver>(directory + "/state", DriverOptions{false, resolv_file});
  EXPECT_NE(must_ensure(network).reason.find("10.0.2.2"), std::string::npos);
  EXPECT_TRUE(driver->remove_network(network));
}

// Without the right to change networks, as in a container. Capabilities are a thread's own.
TEST_F(DriverTest, FallsBackToUserModeAndSaysWhy) {
  std::thread([&] {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, 2> none{};
    ASSERT_EQ(::syscall(SYS_capset, &header, none.data()), 0);
    const auto facts = must_ensure(nat_network());
    EXPECT_EQ(facts.effective_kind, v1::NetworkSpec::USER);
    EXPECT_NE(facts.reason.find("CAP_NET_ADMIN"), std::string::npos);
    EXPECT_NE(facts.reason.find("10.0.2.2"), std::string::npos);
    EXPECT_EQ(must_attach(nic_request(kWeb, "web", "10.66.0.5", nat_network())).tap, "");
    EXPECT_TRUE(driver->detach(kWeb));
    EXPECT_TRUE(driver->remove_network(nat_network()));
  }).join();
}

TEST_F(DriverTest, UndoesAnAttachmentThatFails) {
  const auto network = nat_network();
  must_ensure(network);
  const auto links = link_names();
  const std::string rules = ruleset();
  // dnsmasq's line cannot be written: a directory is in its place.
  std::filesystem::create_directories(directory + "/state/networks/net-4f7k2m9qzt3x/dns/" + tap_name(kWeb, 0) + "/x");
  EXPECT_FALSE(driver->attach(nic_request(kWeb, "web", "10.66.0.5", network)));
  EXPECT_EQ(link_names(), links);
  EXPECT_EQ(ruleset().find(tap_name(kWeb, 0)), std::string::npos);
  EXPECT_TRUE(std::filesystem::is_empty(directory + "/state/nics"));
}

}  // namespace
}  // namespace gantry::network
