#include "runtime/machine_addresses.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
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

using Candidates = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

Candidates look_up(const std::string& endpoint) {
  Candidates found(nullptr, &::freeaddrinfo);
  const std::size_t colon = endpoint.rfind(':');
  if (colon == std::string::npos) return found;
  std::string host = endpoint.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* list = nullptr;
  if (::getaddrinfo(host.c_str(), endpoint.c_str() + colon + 1, &hints, &list) == 0) found.reset(list);
  return found;
}

std::string own_end(const addrinfo& towards) {
  const UniqueFd socket(::socket(towards.ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid() || ::connect(socket.get(), towards.ai_addr, towards.ai_addrlen) != 0) return {};
  sockaddr_storage own{};
  socklen_t size = sizeof(own);
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&own), &size) != 0) return {};
  const void* bytes = bytes_of(reinterpret_cast<const sockaddr*>(&own));
  std::array<char, INET6_ADDRSTRLEN> text{};
  const bool shown = bytes != nullptr && ::inet_ntop(own.ss_family, bytes, text.data(), text.size()) != nullptr;
  return shown ? std::string(text.data()) : std::string();
}

}  // namespace

std::string address_towards(const std::string& endpoint) {
  const Candidates candidates = look_up(endpoint);
  for (const addrinfo* one = candidates.get(); one != nullptr; one = one->ai_next) {
    if (std::string address = own_end(*one); !address.empty()) return address;
  }
  return {};
}

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

}  // namespace gantry::runtime
