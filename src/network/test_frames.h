// Frames and packets, byte for byte, as nobody's system would send them.
#pragma once

#include <linux/if_packet.h>
#include <net/ethernet.h>

#include <charconv>
#include <cstring>
#include <string>
#include <string_view>

#include "model/ipv4.h"
#include "network/test_namespace.h"

namespace gantry::network {

inline std::string bytes_of(std::string_view digits) {
  std::string bytes;
  for (std::size_t at = 0; at + 2 <= digits.size(); at += 2) {
    unsigned byte = 0;
    std::from_chars(digits.data() + at, digits.data() + at + 2, byte, 16);
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

inline std::string mac(std::string text) {
  std::erase(text, ':');
  return bytes_of(text);
}

inline std::string ip(const std::string& text) {
  const std::uint32_t value = model::parse_ipv4(text).value().value;
  std::string bytes;
  for (unsigned shift = 32; shift > 0; shift -= 8) bytes += static_cast<char>(value >> (shift - 8) & 0xffU);
  return bytes;
}

inline std::string number(std::size_t value) {
  return {static_cast<char>(value >> 8U & 0xffU), static_cast<char>(value & 0xffU)};
}

inline std::string ethernet(const std::string& from, const std::string& type, const std::string& payload,
                            const std::string& to = "ff:ff:ff:ff:ff:ff") {
  return mac(to) + mac(from) + bytes_of(type) + payload;
}

// Without a checksum, which IPv4 allows.
inline std::string udp(std::uint16_t from, std::uint16_t to, const std::string& payload = {}) {
  return number(from) + number(to) + number(8 + payload.size()) + number(0) + payload;
}

inline std::string ipv4_packet(const std::string& from, const std::string& to, const std::string& payload) {
  std::string header =
      bytes_of("4500") + number(20 + payload.size()) + bytes_of("000000004011") + number(0) + ip(from) + ip(to);
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < header.size(); i += 2) {
    sum += static_cast<std::uint32_t>(static_cast<unsigned char>(header[i]) << 8U |
                                      static_cast<unsigned char>(header[i + 1]));
  }
  sum = (sum & 0xffffU) + (sum >> 16U);
  sum = (sum & 0xffffU) + (sum >> 16U);
  return header.replace(10, 2, number(~sum & 0xffffU)) + payload;
}

inline std::string mac_of(const std::string& device) {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  device.copy(request.ifr_name, sizeof request.ifr_name - 1);
  EXPECT_EQ(::ioctl(socket.get(), SIOCGIFHWADDR, &request), 0) << device;
  std::string text;
  for (int i = 0; i < ETH_ALEN; ++i) {
    const auto byte = static_cast<unsigned char>(request.ifr_hwaddr.sa_data[i]);
    text += {"0123456789abcdef"[byte >> 4U], "0123456789abcdef"[byte & 0xfU], ':'};
  }
  return text;
}

// Out of that device of the calling thread's namespace.
inline void send_frame(const std::string& device, const std::string& frame) {
  const UniqueFd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = static_cast<int>(::if_nametoindex(device.c_str()));
  to.sll_halen = ETH_ALEN;
  EXPECT_EQ(::sendto(socket.get(), frame.data(), frame.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof to),
            static_cast<ssize_t>(frame.size()))
      << std::strerror(errno);
}

// Takes datagrams in whichever namespace it was made.
class UdpPort {
 public:
  explicit UdpPort(std::uint16_t port, const std::string& address = "0.0.0.0")
      : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    const int on = 1;
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const auto at = socket_address(address, port);
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at), 0) << std::strerror(errno);
  }
  // The size of the next one, or -1 when none comes within the time.
  [[nodiscard]] ssize_t receive(int timeout_ms = 10'000) const {
    pollfd ready{socket_.get(), POLLIN, 0};
    ::poll(&ready, 1, timeout_ms);
    std::array<char, 65536> bytes{};
    return ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
  }
  // Whether it comes is for the other end to see: rules of this namespace may refuse it here.
  void send(const std::string& address, std::uint16_t port, const std::string& payload) const {
    const auto to = socket_address(address, port);
    const ssize_t sent =
        ::sendto(socket_.get(), payload.data(), payload.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    EXPECT_TRUE(sent == static_cast<ssize_t>(payload.size()) || errno == EPERM) << std::strerror(errno);
  }

 private:
  UniqueFd socket_;
};

}  // namespace gantry::network
