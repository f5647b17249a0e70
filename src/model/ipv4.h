// IPv4 addresses and segments as numbers. Text is the dotted form alone: no octal, no leading zeros, no spaces.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::model {

struct Ipv4Address {
  // In the host's byte order: 10.0.0.1 is 0x0a000001.
  std::uint32_t value = 0;
  auto operator<=>(const Ipv4Address&) const = default;
};

// invalid_argument when `text` is not "a.b.c.d".
Result<Ipv4Address> parse_ipv4(std::string_view text);
std::string format_ipv4(Ipv4Address address);

// All addresses that share the first `prefix_length` bits (0 to 32) of `first`, whose other bits are 0.
struct Ipv4Subnet {
  Ipv4Address first;
  unsigned prefix_length = 0;
  auto operator<=>(const Ipv4Subnet&) const = default;

  [[nodiscard]] std::uint32_t mask() const;
  // The broadcast address, where there is one.
  [[nodiscard]] Ipv4Address last() const;
  [[nodiscard]] bool contains(Ipv4Address address) const;
  [[nodiscard]] bool overlaps(const Ipv4Subnet& other) const;
  // How many addresses hosts may have: all but the first and the last (of /31 and /32: none).
  [[nodiscard]] std::uint64_t host_count() const;
  // The `n`th of those, counted from 1 (the bridge's own in a NAT network); nothing beyond host_count().
  [[nodiscard]] std::optional<Ipv4Address> host(std::uint64_t n) const;
};

// The segment that `address` lies in.
Ipv4Subnet subnet_of(Ipv4Address address, unsigned prefix_length);
// "a.b.c.d/n". invalid_argument also when bits behind the prefix are set ("10.0.0.1/24").
Result<Ipv4Subnet> parse_ipv4_subnet(std::string_view text);
std::string format_ipv4_subnet(const Ipv4Subnet& subnet);

}  // namespace gantry::model
