#include "runtime/machine_addresses.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <memory>

#include "base/unique_fd.h"

namespace gantry::runtime {
namespace {

// Null for what is no address others could use.
const void* bytes_of(const sockaddr* address) {
  if (address == nullptr) return nullptr;
  if (address->sa_family == AF_INET) return &reinterpret_cast<const sockaddr_in*>(address)->sin_addr;
  if (address->sa_family != AF_INET6) return nullptr;
  const in6_addr& bytes = reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  return IN6_IS_ADDR_LINKLOCAL(&bytes) ? nullptr : &bytes;
}

}  // namespace

std::vector<MachineAddress> machine_addresses() {
  std::vector<MachineAddress> found;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return found;
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, &::freeifaddrs);
  for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
    const void* bytes = bytes_of(one->ifa_addr);
    if (bytes == nullptr || (one->ifa_flags & IFF_LOOPBACK) != 0) continue;
    const int family = one->ifa_addr->sa_family;
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (::inet_ntop(family, bytes, text.data(), text.size()) == nullptr) continue;
    found.push_back({one->ifa_name, family, text.data(), (one->ifa_flags & IFF_UP) != 0});
  }
  return found;
}

std::string address_towards(std::string_view peer) {
  constexpr std::string_view kScheme = "ipv4:";
  if (peer.substr(0, kScheme.size()) == kScheme) peer.remove_prefix(kScheme.size());
  sockaddr_in to{};
  to.sin_family = AF_INET;
  // Any port: a route depends on none.
  to.sin_port = htons(1);
  if (::inet_pton(AF_INET, std::string(peer.substr(0, peer.find(':'))).c_str(), &to.sin_addr) != 1) return {};
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in own{};
  socklen_t size = sizeof own;
  if (!socket.valid() || ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 ||
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&own), &size) != 0) {
    return {};
  }
  std::array<char, INET_ADDRSTRLEN> text{};
  return ::inet_ntop(AF_INET, &own.sin_addr, text.data(), text.size()) == nullptr ? "" : text.data();
}

}  // namespace gantry::runtime
