// Frames a hostile guest may send, put into its tap as QEMU would; another guest's tap shows which of them arrive.
#include "network/rules.h"
#include "network/test_frames.h"
#include "network/test_host.h"

namespace gantry::network {
namespace {

constexpr const char* kOwnMac = "52:54:00:00:00:05";
constexpr const char* kOtherMac = "52:54:00:00:00:06";

std::string arp(const std::string& frame_from, const std::string& sender_mac, const std::string& sender_ip) {
  return ethernet(frame_from, "0806",
                  bytes_of("0001080006040002") + mac(sender_mac) + ip(sender_ip) + mac(kOtherMac) + ip("10.66.0.6"));
}

std::string ipv6_packet(const std::string& from_digits, const std::string& next_header, const std::string& payload) {
  return bytes_of("60000000") + number(payload.size()) + bytes_of(next_header + "ff") + bytes_of(from_digits) +
         bytes_of("ff020000000000000000000000000001") + payload;
}

std::string advertisement(const std::string& target_digits) {
  return bytes_of("8800000020000000" + target_digits + "0201") + mac(kOwnMac);
}

struct Case {
  const char* what;
  std::string frame;
  bool arrives;
};

std::vector<Case> cases() {
  const std::string own = link_local_digits(kOwnMac);
  const std::string other = link_local_digits(kOtherMac);
  const std::string ip_type = "0800";
  const std::string ipv6_type = "86dd";
  const auto ipv4_from = [&](const std::string& from, const std::string& payload, const std::string& to = "10.66.0.6") {
    return ethernet(kOwnMac, ip_type, ipv4_packet(from, to, payload));
  };
  return {
      {"its own ARP", arp(kOwnMac, kOwnMac, "10.66.0.5"), true},
      {"an ARP probe", arp(kOwnMac, kOwnMac, "0.0.0.0"), true},
      {"ARP for the gateway", arp(kOwnMac, kOwnMac, "10.66.0.1"), false},
      {"ARP for a neighbour", arp(kOwnMac, kOwnMac, "10.66.0.6"), false},
      {"ARP with another sender", arp(kOwnMac, kOtherMac, "10.66.0.5"), false},
      {"another source MAC", arp(kOtherMac, kOtherMac, "10.66.0.5"), false},
      {"its own IPv4", ipv4_from("10.66.0.5", udp(1000, 1000)), true},
      {"a neighbour's IPv4", ipv4_from("10.66.0.6", udp(1000, 1000)), false},
      {"an outside IPv4", ipv4_from("192.0.2.1", udp(1000, 1000)), false},
      {"IPv4 without a source", ipv4_from("0.0.0.0", udp(1000, 1000)), false},
      {"a DHCP request", ipv4_from("0.0.0.0", udp(68, 67), "255.255.255.255"), true},
      {"a DHCP answer", ipv4_from("10.66.0.5", udp(67, 68)), false},
      {"a DHCP answer to all", ipv4_from("10.66.0.5", udp(67, 68), "255.255.255.255"), false},
      {"its own IPv6", ethernet(kOwnMac, ipv6_type, ipv6_packet(own, "11", udp(1000, 1000))), true},
      {"a neighbour's IPv6", ethernet(kOwnMac, ipv6_type, ipv6_packet(other, "11", udp(1000, 1000))), false},
      {"a global IPv6", ethernet(kOwnMac, ipv6_type, ipv6_packet("20010db8000000000000000000000001", "11", udp(9, 9))),
       false},
      {"a DHCPv6 answer", ethernet(kOwnMac, ipv6_type, ipv6_packet(own, "11", udp(547, 546))), false},
      {"a router advertisement",
       ethernet(kOwnMac, ipv6_type, ipv6_packet(own, "3a", bytes_of("86000000400007080000000000000000"))), false},
      {"its own neighbour advertisement", ethernet(kOwnMac, ipv6_type, ipv6_packet(own, "3a", advertisement(own))),
       true},
      {"a neighbour advertisement for another",
       ethernet(kOwnMac, ipv6_type, ipv6_packet(own, "3a", advertisement(other))), false},
      // Destination options alone in the first piece; the advertisement, which would be refused, in the next.
      {"a piece that does not show what it is",
       ethernet(kOwnMac, ipv6_type,
                ipv6_packet(own, "2c",
                            bytes_of("3c00000100000007"
                                     "3a00010400000000"))),
       false},
      {"a tagged frame",
       ethernet(kOwnMac, "8100", bytes_of("00640800") + ipv4_packet("10.66.0.6", "10.66.0.5", udp(1, 1))), false},
      {"another protocol", ethernet(kOwnMac, "88cc", std::string(46, '\0')), false},
      {"a cut frame", ethernet(kOwnMac, "0806", bytes_of("0001")), false},
  };
}

class Spoofing : public OnHost {
 protected:
  void attach_both(const v1::Network& network) {
    must_ensure(network);
    join(nic_request(kWeb, "web", "10.66.0.5", network), nic_request(kDatabase, "database", "10.66.0.6", network));
  }

  void join(const port::NicRequest& from, const port::NicRequest& to) {
    sender = open_tap_device(must_attach(from).tap);
    receiver = open_tap_device(must_attach(to).tap);
    // The bridge forwards once it noticed that somebody holds the taps.
    const std::string greeting = arp(kOwnMac, kOwnMac, "10.66.0.5") + "greeting";
    for (int i = 0; i < 200; ++i) {
      send(greeting);
      if (receive(50).find(greeting) == 0) return;
    }
    FAIL() << "the bridge does not forward";
  }

  // In front of each frame goes an empty virtio header.
  void send(const std::string& frame) const {
    const std::string bytes = std::string(10, '\0') + frame;
    ASSERT_EQ(::write(sender.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }

  [[nodiscard]] std::string receive(int timeout_ms = 10'000) const {
    pollfd ready{receiver.get(), POLLIN, 0};
    if (::poll(&ready, 1, timeout_ms) != 1) return {};
    std::array<char, 2048> bytes{};
    const ssize_t size = ::read(receiver.get(), bytes.data(), bytes.size());
    return size <= 10 ? std::string("-") : std::string(bytes.data() + 10, static_cast<std::size_t>(size) - 10);
  }

  // Frames stay in order, so what was not seen before a later good one never comes.
  [[nodiscard]] bool arrives(const std::string& frame) {
    send(frame);
    std::string marker = arp(kOwnMac, kOwnMac, "10.66.0.5") + "marker" + std::to_string(++markers);
    send(marker);
    bool seen = false;
    for (std::string got = receive(); got.find(marker) != 0; got = receive()) {
      if (got.empty()) throw std::runtime_error("the marker did not arrive");
      seen = seen || got.substr(0, frame.size()) == frame;
    }
    return seen;
  }

  UniqueFd sender;
  UniqueFd receiver;
  int markers = 0;
};

TEST_F(Spoofing, IsDroppedAtTheGuestsPort) {
  attach_both(nat_network());
  for (const auto& one : cases()) EXPECT_EQ(arrives(one.frame), one.arrives) << one.what;
}

TEST_F(Spoofing, PassesWhereItIsAllowed) {
  auto network = nat_network();
  network.mutable_spec()->set_allow_spoofing(true);
  attach_both(network);
  for (const auto& one : cases()) {
    // A receiver may see it padded or not at all.
    if (one.what == std::string_view("a cut frame")) continue;
    EXPECT_TRUE(arrives(one.frame)) << one.what;
  }
  // The guard comes back with the setting.
  network.mutable_spec()->set_allow_spoofing(false);
  must_attach(nic_request(kWeb, "web", "10.66.0.5", network));
  for (const auto& one : cases()) EXPECT_EQ(arrives(one.frame), one.arrives) << one.what;
}

TEST_F(Spoofing, IsGuardedOnABridgeAsFarAsAddressesAreKnown) {
  auto network = nat_network();
  network.mutable_spec()->set_kind(v1::NetworkSpec::BRIDGE);
  network.mutable_spec()->set_bridge("br0");
  must_run({"ip", "link", "add", "br0", "up", "type", "bridge"});
  auto request = nic_request(kWeb, "web", "10.66.0.5", network);
  request.nic.clear_ipv4();
  join(request, nic_request(kDatabase, "database", "10.66.0.6", network));
  EXPECT_TRUE(arrives(ethernet(kOwnMac, "0800", ipv4_packet("192.0.2.1", "10.66.0.6", udp(1, 1)))));
  EXPECT_FALSE(arrives(arp(kOtherMac, kOtherMac, "192.0.2.1")));
  EXPECT_FALSE(arrives(arp(kOwnMac, kOtherMac, "192.0.2.1")));
  EXPECT_FALSE(arrives(ethernet(kOwnMac, "0800", ipv4_packet("192.0.2.1", "10.66.0.6", udp(67, 68)))));
}

}  // namespace
}  // namespace gantry::network
