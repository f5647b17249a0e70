// Three hosts on one wire, each a namespace with a driver of its own, and guests in one overlay on them.
#include <atomic>
#include <chrono>
#include <deque>
#include <iostream>

#include "network/overlay_rules.h"
#include "network/test_host.h"

namespace gantry::network {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kNet[] = "net-4f7k2m9qzt3x";
constexpr char kThird[] = "vm-000000000003";

v1::Network overlay_network() {
  auto network = nat_network();
  network.mutable_spec()->set_kind(v1::NetworkSpec::OVERLAY);
  network.mutable_spec()->set_vni(4242);
  return network;
}

struct Host {
  Namespace space;
  std::string address;
  std::string directory;
  std::unique_ptr<Driver> driver;

  void restart() {
    driver = std::make_unique<Driver>(directory, DriverOptions{true, "", [this] { return address; }});
  }
  void must(const std::function<Result<void>(Driver&)>& work) const {
    space.in([&] {
      const auto done = work(*driver);
      EXPECT_TRUE(done) << done.error().to_text();
    });
  }
  void must_ensure(const v1::Network& network) const {
    must([&](Driver& one) -> Result<void> {
      const auto ensured = one.ensure_network(network);
      return ensured ? Result<void>() : fail(ensured.error());
    });
  }
  [[nodiscard]] std::unique_ptr<Guest> make_guest(const port::NicRequest& request) const {
    std::unique_ptr<Guest> guest;
    space.in([&] {
      const auto nic = driver->attach(request);
      ASSERT_TRUE(nic) << nic.error().to_text();
      guest = std::make_unique<Guest>(nic->tap, nic->mac);
      guest->set_address(nic->ipv4, "10.66.0.1");
    });
    return guest;
  }
};

v1::OverlayEntry entry_of(const port::NicRequest& request, const Host& host) {
  v1::OverlayEntry entry;
  entry.set_mac(request.nic.mac());
  entry.set_ipv4(request.nic.ipv4());
  entry.set_address(host.address);
  return entry;
}

class Overlay : public testing::Test {
 protected:
  void SetUp() override {
    enter_new_namespace();
    std::string pattern = testing::TempDir() + "gantry-overlay-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory = pattern;
    std::filesystem::permissions(directory, std::filesystem::perms(0755));
    must_run({"ip", "link", "add", "wire", "type", "bridge"});
    must_run({"ip", "link", "set", "wire", "up"});
    for (int i = 0; i < 3; ++i) {
      Host& host = hosts.emplace_back();
      host.address = "192.0.2." + std::to_string(i + 1);
      host.directory = directory + "/" + std::to_string(i);
      const std::string plug = "plug" + std::to_string(i);
      connect_cable(plug, "eth0", host.space);
      must_run({"ip", "link", "set", plug, "master", "wire", "up"});
      host.space.must_run({"ip", "address", "add", host.address + "/24", "dev", "eth0"});
      host.space.must_run({"ip", "link", "set", "eth0", "up"});
      host.restart();
      host.must_ensure(network);
    }
  }
  void TearDown() override {
    for (const Host& host : hosts) host.must([&](Driver& one) { return detach_all_and_remove(one); });
    std::filesystem::remove_all(directory);
  }
  Result<void> detach_all_and_remove(Driver& driver) {
    for (const char* vm : {kWeb, kDatabase, kThird}) {
      if (auto gone = driver.detach(vm); !gone) return gone;
    }
    return driver.remove_network(network);
  }
  void set_entries(const Host& host, const std::vector<v1::OverlayEntry>& entries) const {
    host.must([&](Driver& driver) { return driver.set_overlay(network, entries); });
  }

  const v1::Network network = overlay_network();
  const port::NicRequest web = nic_request(kWeb, "web", "10.66.0.5", network);
  const port::NicRequest database = nic_request(kDatabase, "database", "10.66.0.6", network);
  std::string directory;
  std::deque<Host> hosts;
};

TEST_F(Overlay, GuestsOnDifferentHostsReachEachOtherAndTheirGateways) {
  set_entries(hosts[0], {entry_of(database, hosts[1])});
  set_entries(hosts[1], {entry_of(web, hosts[0])});
  const auto one = hosts[0].make_guest(web);
  const auto two = hosts[1].make_guest(database);
  EXPECT_TRUE(one->space.pings("10.66.0.6"));
  EXPECT_TRUE(two->space.pings("10.66.0.5"));
  EXPECT_TRUE(one->space.pings("10.66.0.1"));
  EXPECT_TRUE(two->space.pings("10.66.0.1"));
  // As large as fits: 1500 of the wire less what is around it.
  EXPECT_NE(hosts[0].space.must_run({"ip", "link", "show", bridge_name(kNet)}).find("mtu 1450 "), std::string::npos);
  for (const auto* guest : {one.get(), two.get()}) guest->must_succeed({"ip", "link", "set", "eth0", "mtu", "1450"});
  EXPECT_TRUE(one->space.runs({"busybox", "ping", "-c", "1", "-W", "2", "-s", "1422", "10.66.0.6"}));
  std::string lease;
  hosts[0].space.in([&] { lease = must_run({"cat", hosts[0].directory + "/networks/" + kNet + "/dnsmasq.conf"}); });
  EXPECT_NE(lease.find("option:mtu,1450\n"), std::string::npos) << lease;
}

// What the first guest asks of its gateway never comes to another host's.
TEST_F(Overlay, EachHostsGatewayIsItsOwnGuestsAlone) {
  set_entries(hosts[0], {entry_of(database, hosts[1])});
  set_entries(hosts[1], {entry_of(web, hosts[0])});
  const auto one = hosts[0].make_guest(web);
  const auto two = hosts[1].make_guest(database);
  hosts[0].space.must_run({"ip", "address", "flush", "dev", bridge_name(kNet)});
  EXPECT_FALSE(one->space.runs({"busybox", "ping", "-c", "1", "-W", "1", "10.66.0.1"}));
  EXPECT_TRUE(two->space.pings("10.66.0.1"));
  EXPECT_TRUE(one->space.pings("10.66.0.6"));
}

TEST_F(Overlay, SpoofedPacketsStayOnTheirHost) {
  set_entries(hosts[0], {entry_of(database, hosts[1])});
  set_entries(hosts[1], {entry_of(web, hosts[0])});
  const auto one = hosts[0].make_guest(web);
  const auto two = hosts[1].make_guest(database);
  one->must_succeed({"ip", "address", "add", "10.66.0.9/24", "dev", "eth0"});
  EXPECT_TRUE(one->space.pings("10.66.0.6"));
  EXPECT_FALSE(one->space.runs({"busybox", "ping", "-c", "1", "-W", "1", "-I", "10.66.0.9", "10.66.0.6"}));
  one->must_succeed({"ip", "link", "set", "eth0", "address", "52:54:00:00:00:77"});
  EXPECT_FALSE(one->space.runs({"busybox", "ping", "-c", "1", "-W", "1", "10.66.0.6"}));
}

TEST_F(Overlay, OnlyHostsThatHaveGuestsInItAreHeard) {
  set_entries(hosts[2], {entry_of(web, hosts[0])});
  const auto one = hosts[0].make_guest(web);
  auto third = nic_request(kThird, "third", "10.66.0.7", network);
  const auto stranger = hosts[2].make_guest(third);
  // The first host is told of the third's address as a place for guests, and not that it may be heard.
  const auto quiet = [&] { return !stranger->space.runs({"busybox", "ping", "-c", "1", "-W", "1", "10.66.0.5"}); };
  EXPECT_TRUE(quiet());
  set_entries(hosts[0], {entry_of(third, hosts[2])});
  EXPECT_TRUE(stranger->space.pings("10.66.0.5"));
  set_entries(hosts[0], {});
  EXPECT_TRUE(quiet());
}

// The time from the first host's being told where the guest is now, to the first datagram that comes there.
TEST_F(Overlay, AGuestThatMovedIsReachedWithinASecond) {
  set_entries(hosts[0], {entry_of(database, hosts[1])});
  set_entries(hosts[1], {entry_of(web, hosts[0])});
  const auto one = hosts[0].make_guest(web);
  auto there = hosts[1].make_guest(database);
  ASSERT_TRUE(one->space.pings("10.66.0.6"));
  const auto here = hosts[2].make_guest(database);
  std::atomic<bool> over = false;
  std::thread sender([&] {
    one->space.in([&] {
      const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      const auto to = socket_address("10.66.0.6", 7000);
      while (!over) {
        static_cast<void>(::sendto(socket.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to));
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    });
  });
  const auto begin = Clock::now();
  std::chrono::duration<double, std::milli> gap{};
  hosts[1].must([](Driver& driver) { return driver.detach(kDatabase); });
  set_entries(hosts[0], {entry_of(database, hosts[2])});
  set_entries(hosts[1], {});
  set_entries(hosts[2], {entry_of(web, hosts[0])});
  here->space.in([&] {
    const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const auto at = socket_address("0.0.0.0", 7000);
    ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
    pollfd ready{socket.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&ready, 1, 30'000), 1);
    gap = Clock::now() - begin;
  });
  over = true;
  sender.join();
  std::cout << "a guest that moved was reached after " << gap.count() << " ms\n";
  EXPECT_TRUE(here->space.pings("10.66.0.5"));
}

TEST_F(Overlay, ANewDaemonPutsRightWhatIsWrong) {
  set_entries(hosts[0], {entry_of(database, hosts[1])});
  set_entries(hosts[1], {entry_of(web, hosts[0])});
  const auto one = hosts[0].make_guest(web);
  const auto two = hosts[1].make_guest(database);
  ASSERT_TRUE(one->space.pings("10.66.0.6"));
  hosts[0].space.must_run({"ip", "link", "delete", overlay_device(kNet)});
  hosts[0].space.must_run({"nft", "flush", "ruleset"});
  hosts[0].restart();
  hosts[0].must_ensure(network);
  set_entries(hosts[0], {entry_of(database, hosts[1])});
  EXPECT_TRUE(one->space.pings("10.66.0.6"));
  // As it was: nothing is made anew, and nothing is lost.
  hosts[0].restart();
  hosts[0].must_ensure(network);
  EXPECT_TRUE(one->space.pings("10.66.0.6"));
}

// As DHCP does it; the manager tells the other hosts.
TEST_F(Overlay, AHostsNewAddressIsItsEndFromThenOn) {
  set_entries(hosts[0], {entry_of(database, hosts[1])});
  set_entries(hosts[1], {entry_of(web, hosts[0])});
  const auto one = hosts[0].make_guest(web);
  const auto two = hosts[1].make_guest(database);
  ASSERT_TRUE(one->space.pings("10.66.0.6"));
  hosts[0].space.must_run({"ip", "address", "delete", "192.0.2.1/24", "dev", "eth0"});
  hosts[0].space.must_run({"ip", "address", "add", "192.0.2.11/24", "dev", "eth0"});
  hosts[0].address = "192.0.2.11";
  set_entries(hosts[1], {entry_of(web, hosts[0])});
  hosts[0].must([](Driver& driver) -> Result<void> {
    driver.revive();
    return {};
  });
  EXPECT_TRUE(one->space.pings("10.66.0.6"));
  EXPECT_TRUE(two->space.pings("10.66.0.5"));
}

TEST_F(Overlay, RemovingLeavesNothing) {
  set_entries(hosts[0], {entry_of(database, hosts[1])});
  const auto guest = hosts[0].make_guest(web);
  hosts[0].must([](Driver& driver) { return driver.detach(kWeb); });
  hosts[0].must([this](Driver& driver) { return driver.remove_network(network); });
  EXPECT_EQ(hosts[0].space.must_run({"nft", "list", "ruleset"}), "");
  const std::string links = hosts[0].space.must_run({"ip", "link"});
  for (const auto& name : {bridge_name(kNet), overlay_device(kNet)}) EXPECT_EQ(links.find(name), std::string::npos);
}

TEST_F(Overlay, AHostThatCannotHaveItSaysWhy) {
  Host& host = hosts[0];
  const auto error_of = [&](const v1::Network& wanted) {
    std::string word;
    host.space.in([&] { word = host.driver->ensure_network(wanted).error().word(); });
    return word;
  };
  auto large = network;
  large.mutable_spec()->set_mtu(1500);
  EXPECT_EQ(error_of(large), "mtu_too_large");
  host.address.clear();
  host.restart();
  EXPECT_EQ(error_of(network), "no_host_address");
  host.address = "198.51.100.77";
  host.restart();
  EXPECT_EQ(error_of(network), "no_host_address");
}

// Groups hold across hosts as they do on one.
TEST_F(Overlay, GroupsHoldAcrossHosts) {
  set_entries(hosts[0], {entry_of(database, hosts[1])});
  set_entries(hosts[1], {entry_of(web, hosts[0])});
  const auto one = hosts[0].make_guest(web);
  auto guarded = database;
  add_group(guarded, "sg-000000000001", {rule_of(v1::SecurityRule::INGRESS, v1::SecurityRule::TCP, 2200)});
  const auto two = hosts[1].make_guest(guarded);
  std::unique_ptr<Listener> open;
  std::unique_ptr<Listener> closed;
  two->space.in([&] {
    open = std::make_unique<Listener>("10.66.0.6", 2200);
    closed = std::make_unique<Listener>("10.66.0.6", 2201);
  });
  one->space.in([&] {
    EXPECT_TRUE(connects("10.66.0.6", 2200));
    EXPECT_FALSE(connects("10.66.0.6", 2201, 1));
  });
  EXPECT_FALSE(two->space.runs({"busybox", "ping", "-c", "1", "-W", "1", "10.66.0.5"}));
}

}  // namespace
}  // namespace gantry::network
