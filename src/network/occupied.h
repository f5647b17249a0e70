// Which IPv4 segments this host already uses, so that a NAT network does not take one of them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/ipv4.h"

namespace gantry::network {

struct OccupiedSubnet {
  model::Ipv4Subnet subnet;
  // The device it is on, or is reached by.
  std::string device;

  auto operator<=>(const OccupiedSubnet&) const = default;
};

// Reads /proc/net/route's form; lines it does not understand are left out.
std::vector<OccupiedSubnet> parse_routes(std::string_view text);

// conflict "subnet_in_use" when an address or a route of the host, other than those of `bridge`, overlaps `subnet`.
// Routes that cover a 128th of all addresses or more count as default routes.
Result<void> check_subnet_is_free(const model::Ipv4Subnet& subnet, const std::string& bridge, const std::string& what);

// The subnets of the host's IPv4 addresses and routes but for default routes and 127.0.0.0/8; ordered, each once on a
// device. What cannot be read counts nothing. Blocks hardly; from any thread.
std::vector<OccupiedSubnet> host_subnets();

}  // namespace gantry::network
