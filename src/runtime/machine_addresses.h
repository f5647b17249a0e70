// Where this machine can be reached.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gantry::runtime {

struct MachineAddress {
  std::string interface;
  // AF_INET or AF_INET6.
  int family = 0;
  std::string text;
  // The interface is up.
  bool up = false;
};

// Of this machine's interfaces, but for loopback and for addresses that mean something on one link alone. None when the
// system does not tell.
std::vector<MachineAddress> machine_addresses();

// This machine's IPv4 address on the way to `peer`, "192.0.2.1:8444" with or without "ipv4:" before it; empty: there is
// no way, or it is no IPv4 address. Asks the system's routes alone: nothing is sent.
std::string address_towards(std::string_view peer);

}  // namespace gantry::runtime
