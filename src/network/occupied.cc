#include "network/occupied.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>

#include <bit>
#include <charconv>
#include <cstring>
#include <memory>
#include <optional>
#include <set>

#include "runtime/files.h"

namespace gantry::network {
namespace {

constexpr unsigned kDefaultRoutePrefix = 8;
constexpr model::Ipv4Subnet kLoopback{{0x7f000000}, 8};

std::string_view take_word(std::string_view& line) {
  const auto begin = std::min(line.find_first_not_of(" \t"), line.size());
  line.remove_prefix(begin);
  const auto end = std::min(line.find_first_of(" \t"), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(end);
  return word;
}

// As the kernel prints it: the bytes of network order read as a number of this machine's.
std::optional<std::uint32_t> hexadecimal(std::string_view word) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value, 16);
  if (word.size() != 8 || error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
  return ntohl(value);
}

std::optional<OccupiedSubnet> parse_route(std::string_view line) {
  const std::string device(take_word(line));
  const auto destination = hexadecimal(take_word(line));
  for (int i = 0; i < 5; ++i) take_word(line);
  const auto mask = hexadecimal(take_word(line));
  if (!destination || !mask) return std::nullopt;
  return OccupiedSubnet{model::subnet_of({*destination}, static_cast<unsigned>(std::popcount(*mask))), device};
}

std::uint32_t number_of(const sockaddr* address) {
  sockaddr_in inet{};
  std::memcpy(&inet, address, sizeof inet);
  return ntohl(inet.sin_addr.s_addr);
}

std::vector<OccupiedSubnet> addresses() {
  std::vector<OccupiedSubnet> found;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return found;
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, &::freeifaddrs);
  for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_netmask == nullptr || one->ifa_addr->sa_family != AF_INET) continue;
    const auto prefix = static_cast<unsigned>(std::popcount(number_of(one->ifa_netmask)));
    found.push_back({model::subnet_of({number_of(one->ifa_addr)}, prefix), one->ifa_name});
  }
  return found;
}

}  // namespace

std::vector<OccupiedSubnet> parse_routes(std::string_view text) {
  std::vector<OccupiedSubnet> routes;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    if (auto route = parse_route(text.substr(0, end))) routes.push_back(std::move(*route));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return routes;
}

namespace {

void add_routes(std::vector<OccupiedSubnet>& occupied, std::string_view table) {
  for (auto& route : parse_routes(table)) {
    if (route.subnet.prefix_length >= kDefaultRoutePrefix) occupied.push_back(std::move(route));
  }
}

}  // namespace

std::vector<OccupiedSubnet> host_subnets() {
  auto occupied = addresses();
  if (const auto table = runtime::read_file("/proc/thread-self/net/route")) add_routes(occupied, *table);
  std::erase_if(occupied, [](const OccupiedSubnet& one) { return kLoopback.overlaps(one.subnet); });
  const std::set<OccupiedSubnet> ordered(occupied.begin(), occupied.end());
  return {ordered.begin(), ordered.end()};
}

Result<void> check_subnet_is_free(const model::Ipv4Subnet& subnet, const std::string& bridge, const std::string& what) {
  auto occupied = addresses();
  const auto table = runtime::read_file("/proc/thread-self/net/route");
  if (!table) return fail(table.error());
  add_routes(occupied, *table);
  for (const auto& other : occupied) {
    if (other.device == bridge || !other.subnet.overlaps(subnet)) continue;
    return fail(ErrorCode::conflict, what,
                model::format_ipv4_subnet(subnet) + " overlaps " + model::format_ipv4_subnet(other.subnet) +
                    ", which this host uses on " + other.device,
                "choose another subnet for the network", "subnet_in_use");
  }
  return {};
}

}  // namespace gantry::network
