// What guests can and cannot do on the wire, with guests as namespaces behind real taps.
#include <algorithm>
#include <fstream>

#include "network/links.h"
#include "network/test_frames.h"
#include "network/test_host.h"

namespace gantry::network {
namespace {

// The outside: a namespace with a name server, beyond the host's own uplink 198.51.100.1.
class Traffic : public OnHost {
 protected:
  const std::string outside_address = "198.51.100.2";

  void SetUp() override {
    OnHost::SetUp();
    resolv_file = directory + "/resolv.conf";
    std::ofstream(resolv_file) << "nameserver " << outside_address << "\n";
    restart();
    outside = std::make_unique<Namespace>();
    connect_cable("uplink", "eth0", *outside);
    must_run({"ip", "address", "add", "198.51.100.1/24", "dev", "uplink"});
    must_run({"ip", "link", "set", "uplink", "up"});
    outside->must_run({"ip", "address", "add", outside_address + "/24", "dev", "eth0"});
    outside->must_run({"ip", "link", "set", "eth0", "up"});
    must_ensure(nat_network());
  }

  // Takes an address as a guest's system does; answers what the server said, as NAME=value lines.
  std::string take_lease(const Guest& guest) {
    const std::string script = directory + "/lease.sh";
    std::ofstream(script) << "#!/bin/sh\n[ \"$1\" = bound ] || exit 0\n"
                             "ip address add $ip/$mask dev $interface\nip route add default via $router\n"
                             "env > " +
                                 directory + "/lease\n";
    std::filesystem::permissions(script, std::filesystem::perms(0755));
    guest.must_succeed({"busybox", "udhcpc", "-f", "-q", "-n", "-t", "10", "-T", "1", "-i", "eth0", "-s", script});
    return must_run({"cat", directory + "/lease"});
  }

  std::unique_ptr<Namespace> outside;
};

TEST_F(Traffic, GuestsGetAddressesAndNames) {
  const auto web = must_attach(nic_request(kWeb, "web", "10.66.0.5", nat_network()));
  const auto database = must_attach(nic_request(kDatabase, "database", "10.66.0.6", nat_network()));
  const Guest one(web.tap, web.mac);
  const Guest two(database.tap, database.mac);
  const std::string lease = take_lease(one);
  for (const char* line : {"ip=10.66.0.5\n", "router=10.66.0.1\n", "dns=10.66.0.1\n", "domain=gantry\n",
                           "hostname=web\n", "subnet=255.255.255.0\n"}) {
    EXPECT_NE(lease.find(line), std::string::npos) << line << lease;
  }
  EXPECT_NE(take_lease(two).find("ip=10.66.0.6\n"), std::string::npos);
  EXPECT_TRUE(one.space.pings("10.66.0.6"));
  EXPECT_TRUE(one.space.pings("10.66.0.1"));

  const std::string answer = one.space.must_run({"busybox", "nslookup", "database.gantry", "10.66.0.1"});
  EXPECT_NE(answer.find("10.66.0.6"), std::string::npos) << answer;
  EXPECT_TRUE(driver->detach(kDatabase));
  // dnsmasq notices in its own time; the test's own limit ends a wait that has no end.
  while (one.space.runs({"busybox", "nslookup", "database.gantry", "10.66.0.1"})) std::this_thread::yield();
}

TEST_F(Traffic, GuestsMayHaveNamesThatDnsmasqHasAUseFor) {
  const auto ignore = must_attach(nic_request(kWeb, "ignore", "10.66.0.5", nat_network()));
  const auto infinite = must_attach(nic_request(kDatabase, "infinite", "10.66.0.6", nat_network()));
  const Guest one(ignore.tap, ignore.mac);
  const Guest two(infinite.tap, infinite.mac);
  EXPECT_NE(take_lease(one).find("ip=10.66.0.5\n"), std::string::npos);
  EXPECT_NE(take_lease(two).find("lease=3600\n"), std::string::npos);
  for (const std::string name : {"ignore", "infinite"}) {
    EXPECT_TRUE(one.space.runs({"busybox", "nslookup", name + ".gantry", "10.66.0.1"})) << name;
  }
}

TEST_F(Traffic, GuestsResolveWhatTheHostResolves) {
  const std::string pid_file = directory + "/outside.pid";
  outside->must_run({"dnsmasq", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces",
                     "--listen-address=" + outside_address, "--address=/www.example.net/203.0.113.7",
                     "--address=/www.example.net/2001:db8::7", "--pid-file=" + pid_file, "--user=root"});
  const auto guest = make_guest(nic_request(kWeb, "web", "10.66.0.5", nat_network()));
  const std::string answer = guest->space.must_run({"busybox", "nslookup", "www.example.net", "10.66.0.1"});
  EXPECT_NE(answer.find("203.0.113.7"), std::string::npos) << answer;
  ::kill(std::stoi(must_run({"cat", pid_file})), SIGTERM);
}

TEST_F(Traffic, AnAddressIsGivenToTheNextCardThatGetsIt) {
  {
    const auto nic = must_attach(nic_request(kWeb, "web", "10.66.0.5", nat_network()));
    const Guest guest(nic.tap, nic.mac);
    take_lease(guest);
  }
  EXPECT_TRUE(driver->detach(kWeb));
  auto request = nic_request(kDatabase, "database", "10.66.0.5", nat_network());
  request.nic.set_mac("52:54:00:00:00:99");
  const auto nic = must_attach(request);
  const Guest guest(nic.tap, nic.mac);
  EXPECT_NE(take_lease(guest).find("ip=10.66.0.5\n"), std::string::npos);
}

TEST_F(Traffic, TheOutsideSeesTheHostsAddress) {
  const auto guest = make_guest(nic_request(kWeb, "web", "10.66.0.5", nat_network()));
  std::unique_ptr<Listener> server;
  outside->in([&] { server = std::make_unique<Listener>(outside_address); });
  guest->space.in([&] { EXPECT_TRUE(connects(outside_address, server->port)); });
  EXPECT_EQ(server->accept(), "198.51.100.1");
}

TEST_F(Traffic, TheOutsideDoesNotReachGuests) {
  const auto guest = make_guest(nic_request(kWeb, "web", "10.66.0.5", nat_network()));
  std::unique_ptr<Listener> server;
  guest->space.in([&] { server = std::make_unique<Listener>("10.66.0.5"); });
  EXPECT_TRUE(connects("10.66.0.5", server->port)) << "the host itself does";
  outside->must_run({"ip", "route", "add", "10.66.0.0/24", "via", "198.51.100.1"});
  outside->in([&] { EXPECT_FALSE(connects("10.66.0.5", server->port, 1)); });
  EXPECT_EQ(server->accept(), "10.66.0.1");
  EXPECT_EQ(server->accept(0), "");
}

// A neighbour on the uplink begins a connection in a guest's name, to be let in by its answers.
TEST_F(Traffic, NobodyOutsideSendsInAGuestsName) {
  // As Debian has it.
  for (const char* device : {"all", "uplink"}) {
    ASSERT_TRUE(set_sysctl(std::string("ipv4/conf/") + device + "/rp_filter", "0"));
  }
  const std::string uplink_mac = mac_of("uplink");
  outside->in([&] {
    for (const char* device : {"all", "eth0"}) {
      ASSERT_TRUE(set_sysctl(std::string("ipv4/conf/") + device + "/rp_filter", "0"));
    }
    const UdpPort own(5000);
    const auto forge = [&](const std::string& from, const std::string& payload) {
      send_frame("eth0", ethernet(mac_of("eth0"), "0800", ipv4_packet(from, outside_address, udp(8080, 5000, payload)),
                                  uplink_mac));
    };
    forge("10.66.0.5", "in a guest's name");
    // What this host sends on for others comes back.
    forge("198.51.100.77", "other");
    EXPECT_EQ(own.receive(), 5);
  });
}

TEST_F(Traffic, NetworksDoNotReachEachOther) {
  const auto other = nat_network("net-000000000002", "10.67.0.0/24");
  must_ensure(other);
  const auto one = make_guest(nic_request(kWeb, "web", "10.66.0.5", nat_network()));
  const auto two = make_guest(nic_request(kDatabase, "database", "10.67.0.6", other));
  EXPECT_TRUE(one->space.pings("10.66.0.1"));
  EXPECT_TRUE(two->space.pings("10.67.0.1"));
  EXPECT_FALSE(one->space.pings("10.67.0.6"));
  EXPECT_FALSE(two->space.pings("10.66.0.5"));
}

TEST_F(Traffic, TheHostsServicesAreNotForGuests) {
  const auto guest = make_guest(nic_request(kWeb, "web", "10.66.0.5", nat_network()));
  const Listener anywhere("0.0.0.0");
  const Listener loopback("127.0.0.1");
  guest->must_succeed({"ip", "link", "set", "lo", "down"});
  guest->must_succeed({"ip", "route", "add", "127.0.0.1/32", "via", "10.66.0.1", "src", "10.66.0.5"});
  guest->space.in([&] {
    EXPECT_FALSE(connects("10.66.0.1", anywhere.port, 1));
    EXPECT_FALSE(connects("198.51.100.1", anywhere.port, 1));
    EXPECT_FALSE(connects("127.0.0.1", loopback.port, 1));
  });
  EXPECT_EQ(anywhere.accept(0), "");
  EXPECT_EQ(loopback.accept(0), "");
}

TEST_F(Traffic, PortsAreForwarded) {
  auto request = nic_request(kWeb, "web", "10.66.0.5", nat_network());
  const std::uint16_t local = Listener("127.0.0.1").port;
  const std::uint16_t open = Listener("0.0.0.0").port;
  ASSERT_NE(local, open);
  add_forward(request, "", local, 2200);
  add_forward(request, "0.0.0.0", open, 2200);
  const auto guest = make_guest(request);
  const auto neighbour = make_guest(nic_request(kDatabase, "database", "10.66.0.6", nat_network()));
  std::unique_ptr<Listener> server;
  guest->space.in([&] { server = std::make_unique<Listener>("10.66.0.5", 2200); });

  EXPECT_TRUE(connects("127.0.0.1", local));
  EXPECT_EQ(server->accept(), "10.66.0.1");
  EXPECT_TRUE(connects("127.0.0.1", open));
  EXPECT_TRUE(connects("198.51.100.1", open));
  EXPECT_EQ(server->accept(), "10.66.0.1");
  EXPECT_FALSE(connects("198.51.100.1", local, 1));
  outside->in([&] {
    EXPECT_TRUE(connects("198.51.100.1", open));
    EXPECT_FALSE(connects("198.51.100.1", local, 1));
  });
  neighbour->space.in([&] { EXPECT_TRUE(connects("198.51.100.1", open)); });

  // A neighbour on the uplink who sends to 127.0.0.1 must not come through the forward for the host alone.
  outside->must_run({"ip", "link", "set", "lo", "down"});
  outside->must_run({"ip", "route", "add", "127.0.0.1/32", "via", "198.51.100.1", "src", outside_address});
  outside->in([&] { EXPECT_FALSE(connects("127.0.0.1", local, 1)); });

  EXPECT_TRUE(driver->detach(kWeb));
  EXPECT_FALSE(connects("127.0.0.1", local, 1));
}

TEST_F(Traffic, PortsInUseAreRefused) {
  const Listener program("127.0.0.1");
  auto request = nic_request(kWeb, "web", "10.66.0.5", nat_network());
  add_forward(request, "", program.port, 22);
  EXPECT_EQ(driver->attach(request).error().word(), "port_in_use");
  request.nic.mutable_port_forwards(0)->set_host_address("203.0.113.1");
  EXPECT_EQ(driver->attach(request).error().word(), "address_not_here");

  request.nic.mutable_port_forwards(0)->set_host_address("198.51.100.1");
  must_attach(request);
  must_attach(request);
  auto other = nic_request(kDatabase, "database", "10.66.0.6", nat_network());
  add_forward(other, "198.51.100.1", program.port, 80);
  EXPECT_EQ(driver->attach(other).error().word(), "port_in_use");
  EXPECT_TRUE(driver->detach(kWeb));
  must_attach(other);
}

}  // namespace
}  // namespace gantry::network
