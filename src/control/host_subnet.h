#pragma once

#include <string>

#include "model/ipv4.h"

namespace gantry::control {

// An IPv4 segment that a host is in itself.
struct HostSubnet {
  model::Ipv4Subnet subnet;
  // The host's device it is on, or is reached by.
  std::string device;
};

}  // namespace gantry::control
