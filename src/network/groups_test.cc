// What security groups let through, with guests as namespaces behind real taps.
#include "network/group_rules.h"
#include "network/test_frames.h"
#include "network/test_host.h"

namespace gantry::network {
namespace {

using Rule = v1::SecurityRule;

constexpr char kGroup[] = "sg-000000000001";
constexpr char kPeers[] = "sg-000000000002";

class Groups : public OnHost {
 protected:
  void SetUp() override {
    OnHost::SetUp();
    must_ensure(nat_network());
    client = make_guest(nic_request(kDatabase, "client", "10.66.0.6", nat_network()));
  }
  // The guest at 10.66.0.5, which listens to ports 2200 and 2201.
  std::unique_ptr<Guest> make_guarded(const std::vector<Rule>& rules) {
    request = nic_request(kWeb, "web", "10.66.0.5", nat_network());
    add_group(request, kGroup, rules);
    auto guest = make_guest(request);
    guest->space.in([&] {
      listener = std::make_unique<Listener>("10.66.0.5", 2200);
      other = std::make_unique<Listener>("10.66.0.5", 2201);
    });
    return guest;
  }
  // Other rules while the guest runs.
  void set_rules(const std::vector<Rule>& rules) {
    auto& spec = *request.groups[0].mutable_group()->mutable_spec();
    spec.clear_rules();
    for (const auto& rule : rules) *spec.add_rules() = rule;
    const auto set = driver->set_groups(request);
    EXPECT_TRUE(set) << set.error().to_text();
  }
  static bool reaches(const Guest& from, const std::string& address, std::uint16_t port, int seconds) {
    bool reached = false;
    from.space.in([&] { reached = connects(address, port, seconds); });
    return reached;
  }
  [[nodiscard]] bool client_reaches(std::uint16_t port) const { return reaches(*client, "10.66.0.5", port, 3); }
  [[nodiscard]] bool client_is_refused(std::uint16_t port) const { return !reaches(*client, "10.66.0.5", port, 1); }
  static bool is_silent(const Guest& from, const std::string& address) {
    return !from.space.runs({"busybox", "ping", "-c", "1", "-W", "1", address});
  }

  port::NicRequest request;
  std::unique_ptr<Guest> client;
  std::unique_ptr<Listener> listener;
  std::unique_ptr<Listener> other;
};

TEST_F(Groups, WhatIsAllowedComesInAndIsAnswered) {
  const auto guest = make_guarded({rule_of(Rule::INGRESS, Rule::TCP, 2200)});
  EXPECT_TRUE(client_reaches(2200));
  EXPECT_TRUE(client_is_refused(2201));
  EXPECT_TRUE(is_silent(*client, "10.66.0.5"));
  // The host is no exception.
  EXPECT_TRUE(connects("10.66.0.5", 2200));
  EXPECT_FALSE(connects("10.66.0.5", 2201, 1));
  // Nothing may go out.
  EXPECT_TRUE(is_silent(*guest, "10.66.0.6"));
  EXPECT_TRUE(is_silent(*guest, "10.66.0.1"));
}

TEST_F(Groups, WhatIsAllowedGoesOutAndIsAnswered) {
  const auto guest = make_guarded({rule_of(Rule::EGRESS, Rule::ICMP)});
  std::unique_ptr<Listener> server;
  client->space.in([&] { server = std::make_unique<Listener>("10.66.0.6", 2300); });
  EXPECT_TRUE(guest->space.pings("10.66.0.6"));
  EXPECT_TRUE(guest->space.pings("10.66.0.1"));
  EXPECT_FALSE(reaches(*guest, "10.66.0.6", 2300, 1));
  EXPECT_TRUE(is_silent(*client, "10.66.0.5"));
  EXPECT_TRUE(client_is_refused(2200));
}

TEST_F(Groups, PeersAreSegmentsAndMembers) {
  const auto guest = make_guarded({rule_of(Rule::INGRESS, Rule::TCP, 2200, "10.66.0.0/30")});
  EXPECT_TRUE(client_is_refused(2200));
  EXPECT_TRUE(connects("10.66.0.5", 2200)) << "the host's 10.66.0.1 is of that segment";
  Rule of_group = rule_of(Rule::INGRESS, Rule::TCP, 2200);
  of_group.set_group(kPeers);
  set_rules({of_group});
  EXPECT_TRUE(client_is_refused(2200)) << "it has no members yet";
  auto& peers = request.groups.emplace_back();
  peers.mutable_group()->mutable_meta()->set_id(kPeers);
  peers.add_members("10.66.0.6");
  set_rules({of_group});
  EXPECT_TRUE(client_reaches(2200));
  EXPECT_FALSE(connects("10.66.0.5", 2200, 1));
}

TEST_F(Groups, RangesOfPortsAndBothProtocols) {
  Rule range = rule_of(Rule::INGRESS, Rule::TCP, 2201);
  range.set_port_last(2210);
  const auto guest = make_guarded({range});
  EXPECT_TRUE(client_reaches(2201));
  EXPECT_TRUE(client_is_refused(2200));
  set_rules({rule_of(Rule::INGRESS, Rule::UDP)});
  EXPECT_TRUE(client_is_refused(2201));
  set_rules({rule_of(Rule::INGRESS, Rule::ANY)});
  EXPECT_TRUE(client_reaches(2200));
  EXPECT_TRUE(client->space.pings("10.66.0.5"));
}

// What an open connection was let through by is taken away.
TEST_F(Groups, ATakenRuleEndsWhatItLetThrough) {
  const auto guest = make_guarded({rule_of(Rule::INGRESS, Rule::UDP, 2200)});
  UniqueFd server;
  guest->space.in([&] {
    server.reset(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const auto at = socket_address("10.66.0.5", 2200);
    ASSERT_EQ(::bind(server.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
  });
  UniqueFd sender;
  client->space.in([&] { sender.reset(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)); });
  const auto to = socket_address("10.66.0.5", 2200);
  ASSERT_EQ(::connect(sender.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
  const auto arrives = [&](int timeout_ms) {
    EXPECT_EQ(::send(sender.get(), "x", 1, 0), 1);
    pollfd ready{server.get(), POLLIN, 0};
    std::array<char, 8> bytes{};
    return ::poll(&ready, 1, timeout_ms) == 1 && ::recv(server.get(), bytes.data(), bytes.size(), 0) == 1;
  };
  EXPECT_TRUE(arrives(5000));
  EXPECT_TRUE(arrives(5000));
  set_rules({});
  EXPECT_FALSE(arrives(500));
  set_rules({rule_of(Rule::INGRESS, Rule::UDP, 2200)});
  EXPECT_TRUE(arrives(5000));
}

TEST_F(Groups, WithoutGroupsEverythingIsLetThrough) {
  const auto guest = make_guarded({});
  EXPECT_TRUE(client_is_refused(2200));
  request.nic.clear_security_groups();
  EXPECT_TRUE(driver->set_groups(request));
  EXPECT_TRUE(client_reaches(2200));
  EXPECT_TRUE(guest->space.pings("10.66.0.6"));
  // One that the host was not told of lets nothing through.
  request.nic.add_security_groups("sg-000000000009");
  EXPECT_TRUE(driver->set_groups(request));
  EXPECT_TRUE(client_is_refused(2200));
}

TEST_F(Groups, AnAddressIsHadAndSpoofingIsNot) {
  const auto guest = make_guarded({rule_of(Rule::EGRESS, Rule::ANY), rule_of(Rule::INGRESS, Rule::ANY)});
  EXPECT_TRUE(guest->space.pings("10.66.0.6"));
  guest->must_succeed({"ip", "address", "add", "10.66.0.9/24", "dev", "eth0"});
  EXPECT_FALSE(guest->space.runs({"busybox", "ping", "-c", "1", "-W", "1", "-I", "10.66.0.9", "10.66.0.6"}));
  set_rules({});
  EXPECT_TRUE(guest->space.runs(
      {"busybox", "udhcpc", "-f", "-q", "-n", "-t", "10", "-T", "1", "-i", "eth0", "-s", "/bin/true"}));
}

// Else it would be a tunnel.
TEST_F(Groups, DhcpIsOfTheNetworksServerAlone) {
  const auto guest = make_guarded({rule_of(Rule::EGRESS, Rule::UDP, 2300), rule_of(Rule::INGRESS, Rule::UDP, 2200)});
  std::unique_ptr<UdpPort> server;
  std::unique_ptr<UdpPort> marker;
  client->space.in([&] {
    server = std::make_unique<UdpPort>(67);
    marker = std::make_unique<UdpPort>(2300);
  });
  std::unique_ptr<UdpPort> own;
  std::unique_ptr<UdpPort> open;
  guest->space.in([&] {
    own = std::make_unique<UdpPort>(68);
    open = std::make_unique<UdpPort>(2200);
  });
  own->send("10.66.0.6", 67, "a request?");
  own->send("10.66.0.6", 2300, "let out");
  EXPECT_EQ(marker->receive(), 7);
  EXPECT_EQ(server->receive(0), -1);
  // A server elsewhere; this host stands for what it forwards.
  must_run({"ip", "address", "add", "198.51.100.7/32", "dev", "lo"});
  const UdpPort elsewhere(67, "198.51.100.7");
  elsewhere.send("10.66.0.5", 68, "an offer?");
  elsewhere.send("10.66.0.5", 2200, "let in");
  EXPECT_EQ(open->receive(), 6);
  EXPECT_EQ(own->receive(0), -1);
}

// The host's kernel cuts it up after the rules for what the host sends, and before those of the bridge.
TEST_F(Groups, LargeDatagramsOfTheHostComeInWhole) {
  const auto guest = make_guarded({rule_of(Rule::INGRESS, Rule::UDP, 2200)});
  std::unique_ptr<UdpPort> open;
  guest->space.in([&] { open = std::make_unique<UdpPort>(2200); });
  UdpPort(2300).send("10.66.0.5", 2200, std::string(4000, 'x'));
  EXPECT_EQ(open->receive(), 4000);
}

// Forwarded from outside, and refused: the guest may not answer either.
TEST_F(Groups, ForwardedPortsAreNoWayAround) {
  const std::uint16_t port = Listener("127.0.0.1").port;
  request = nic_request(kWeb, "web", "10.66.0.5", nat_network());
  add_forward(request, "", port, 2200);
  add_group(request, kGroup, {rule_of(Rule::INGRESS, Rule::TCP, 2201)});
  const auto guest = make_guest(request);
  guest->space.in([&] { listener = std::make_unique<Listener>("10.66.0.5", 2200); });
  EXPECT_FALSE(connects("127.0.0.1", port, 1));
  set_rules({rule_of(Rule::INGRESS, Rule::TCP, 2200)});
  EXPECT_TRUE(connects("127.0.0.1", port));
}

TEST_F(Groups, ANewDaemonAndAFlushedRulesetChangeNothing) {
  const auto guest = make_guarded({rule_of(Rule::INGRESS, Rule::TCP, 2200)});
  restart();
  must_ensure(nat_network());
  must_run({"nft", "flush", "ruleset"});
  driver->revive();
  EXPECT_TRUE(client_reaches(2200));
  EXPECT_TRUE(client_is_refused(2201));
}

TEST_F(Groups, AGuestWhoseRecordIsDamagedNeverRunsUnguarded) {
  const auto guest = make_guarded({rule_of(Rule::INGRESS, Rule::TCP, 2200)});
  must_run({"truncate", "-s", "20", directory + "/state/nics/" + kWeb + ".0"});
  must_run({"nft", "flush", "ruleset"});
  restart();
  must_ensure(nat_network());
  EXPECT_TRUE(client_is_refused(2201));
  // As a new daemon does for all guests that run.
  ASSERT_TRUE(driver->set_groups(request));
  EXPECT_TRUE(client_reaches(2200));
  EXPECT_TRUE(client_is_refused(2201));
}

TEST_F(Groups, NothingIsLeftOfThem) {
  const std::string before = ruleset();
  {
    const auto guest = make_guarded({rule_of(Rule::INGRESS, Rule::TCP, 2200)});
    EXPECT_NE(ruleset(), before);
  }
  EXPECT_TRUE(driver->detach(kWeb));
  const std::string after = ruleset();
  EXPECT_EQ(after.find("gt4f7k2m9qzt3x0"), std::string::npos) << after;
  EXPECT_TRUE(driver->detach(kDatabase));
  EXPECT_EQ(ruleset().find("table inet gantry_state"), std::string::npos);
}

}  // namespace
}  // namespace gantry::network
