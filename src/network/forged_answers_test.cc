// Who sends in a guarded guest's name, so that what comes to the guest afterwards looks like an answer.
#include "network/links.h"
#include "network/test_frames.h"
#include "network/test_host.h"
#include "network/vlan_rules.h"

namespace gantry::network {
namespace {

using Rule = v1::SecurityRule;

constexpr char kOwnSegment[] = "gn-4f7k2m9qzt3x";
constexpr char kGuardedAddress[] = "10.66.0.5";

v1::Network foreign(const std::string& id, const std::string& bridge) {
  auto network = nat_network(id);
  network.mutable_spec()->set_kind(v1::NetworkSpec::BRIDGE);
  network.mutable_spec()->set_bridge(bridge);
  return network;
}

class ForgedAnswers : public OnHost {
 protected:
  // With a neighbour who hears what is for everybody: only what leaves the bridge somewhere is a connection.
  void make_segment(const std::string& bridge, const std::string& plug, const Namespace& beside) {
    must_run({"ip", "link", "add", bridge, "up", "type", "bridge"});
    connect_cable(plug, "eth0", beside);
    must_run({"ip", "link", "set", plug, "master", bridge, "up"});
    beside.must_run({"ip", "link", "set", "eth0", "up"});
  }
  // Only UDP to port 2200 may come in.
  void make_guarded(const v1::Network& network) {
    auto request = nic_request(kWeb, "web", kGuardedAddress, network);
    add_group(request, "sg-000000000001", {rule_of(Rule::INGRESS, Rule::UDP, 2200)});
    guarded = make_guest(request);
    guarded->space.in([&] {
      open = std::make_unique<UdpPort>(2200);
      closed = std::make_unique<UdpPort>(2201);
    });
  }
  // Without a known address: its guest may send from any.
  std::unique_ptr<Guest> make_stranger(const std::string& vm_id, const std::string& address,
                                       const v1::Network& network) {
    auto request = nic_request(vm_id, "stranger", address, network);
    add_group(request, "sg-000000000002", {rule_of(Rule::INGRESS, Rule::ANY), rule_of(Rule::EGRESS, Rule::ANY)});
    request.nic.clear_ipv4();
    const auto nic = must_attach(request);
    auto guest = std::make_unique<Guest>(nic.tap, nic.mac);
    guest->set_address(address, "10.66.0.1");
    return guest;
  }
  // As if the guarded guest had sent from its port 2201 to `to`, port 5000.
  static void forge(const Guest& from, const std::string& to) {
    from.space.in([&] {
      const std::string packet = ipv4_packet(kGuardedAddress, to, udp(2201, 5000));
      send_frame("eth0", ethernet(mac_of("eth0"), "0800", packet, "52:54:00:00:00:77"));
    });
  }
  // The second datagram comes in by the rules, and after the first.
  void expect_refused(const Guest& from) const {
    from.space.in([&] {
      const UdpPort own(5000);
      own.send(kGuardedAddress, 2201, "an answer?");
      own.send(kGuardedAddress, 2200, "let in");
    });
    EXPECT_EQ(open->receive(), 6);
    EXPECT_EQ(closed->receive(0), -1);
  }

  const Namespace neighbour;
  std::unique_ptr<Guest> guarded;
  std::unique_ptr<UdpPort> open;
  std::unique_ptr<UdpPort> closed;
};

TEST_F(ForgedAnswers, OfAKnownAddressAreNone) {
  make_segment("br0", "plug0", neighbour);
  const auto network = foreign("net-4f7k2m9qzt3x", "br0");
  make_guarded(network);
  const auto stranger = make_stranger(kDatabase, "10.66.0.6", network);
  forge(*stranger, "10.66.0.6");
  expect_refused(*stranger);
  // Its own name is its own, with other groups too.
  auto request = nic_request(kWeb, "web", kGuardedAddress, network);
  add_group(request, "sg-000000000001", {rule_of(Rule::EGRESS, Rule::ANY)});
  ASSERT_TRUE(driver->set_groups(request));
  EXPECT_TRUE(guarded->space.pings("10.66.0.6"));
}

// The same addresses may be in use there for others.
TEST_F(ForgedAnswers, OfAnotherSegmentAreNone) {
  const Namespace other;
  make_segment("br0", "plug0", neighbour);
  make_segment(kOwnSegment, "plug1", other);
  must_run({"nft", "-f", "-"}, vlan_rules(kOwnSegment));
  const auto own = foreign("net-4f7k2m9qzt3x", kOwnSegment);
  make_guarded(own);
  const auto accomplice = make_stranger("vm-000000000003", "10.66.0.7", own);
  const auto stranger = make_stranger(kDatabase, "10.66.0.6", foreign("net-000000000002", "br0"));
  forge(*stranger, "10.66.0.7");
  expect_refused(*accomplice);
}

// A VLAN may have the addresses of a network that is translated.
TEST_F(ForgedAnswers, AVlanMayHaveANetworksAddresses) {
  must_ensure(nat_network("net-000000000002"));
  make_segment(kOwnSegment, "plug1", neighbour);
  must_run({"nft", "-f", "-"}, vlan_rules(kOwnSegment));
  const auto own = foreign("net-4f7k2m9qzt3x", kOwnSegment);
  make_guarded(own);
  const auto other = make_stranger(kDatabase, "10.66.0.7", own);
  expect_refused(*other);
}

}  // namespace
}  // namespace gantry::network
