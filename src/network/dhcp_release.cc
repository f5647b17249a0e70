#include "network/dhcp_release.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <charconv>
#include <cstring>

#include "base/unique_fd.h"
#include "network/links.h"

namespace gantry::network {
namespace {

constexpr std::size_t kClientAddressAt = 12;
constexpr std::size_t kHardwareAddressAt = 28;
constexpr std::size_t kOptionsAt = 236;
constexpr std::size_t kMessageSize = 300;
constexpr std::uint16_t kServerPort = 67;

std::string bytes_of(model::Ipv4Address address) {
  std::string bytes;
  for (unsigned shift = 32; shift > 0; shift -= 8) bytes += static_cast<char>(address.value >> (shift - 8) & 0xffU);
  return bytes;
}

std::string bytes_of_mac(const std::string& mac) {
  std::string bytes;
  for (std::size_t at = 0; at + 2 <= mac.size(); at += 3) {
    unsigned byte = 0;
    std::from_chars(mac.data() + at, mac.data() + at + 2, byte, 16);
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

}  // namespace

std::string make_dhcp_release(model::Ipv4Address server, const Lease& lease) {
  std::string message(kOptionsAt, '\0');
  message[0] = 1;  // request
  message[1] = 1;  // Ethernet
  message[2] = 6;  // length of its addresses
  message.replace(kClientAddressAt, 4, bytes_of(lease.address));
  message.replace(kHardwareAddressAt, 6, bytes_of_mac(lease.mac));
  message += "\x63\x82\x53\x63";  // here begin DHCP's options
  message += "\x35\x01\x07";      // message type: release
  message += "\x36\x04" + bytes_of(server);
  message += '\xff';
  message.resize(kMessageSize, '\0');
  return message;
}

void send_dhcp_release(const std::string& bridge, const Lease& lease) {
  const auto server = link_address(bridge);
  if (!server) return;
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP));
  if (!socket.valid()) return;
  // dnsmasq looks at the interface a message came by.
  const auto length = static_cast<socklen_t>(bridge.size());
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_BINDTODEVICE, bridge.data(), length) != 0) return;
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(kServerPort);
  to.sin_addr.s_addr = htonl(server->value);
  const std::string message = make_dhcp_release(*server, lease);
  const ssize_t sent = ::sendto(socket.get(), message.data(), message.size(), MSG_DONTWAIT,
                                reinterpret_cast<const sockaddr*>(&to), sizeof to);
  static_cast<void>(sent);
}

}  // namespace gantry::network
