// Where this machine can be reached.
#pragma once

#include <string>
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

// The address this machine sends from to get to "HOST:PORT" ("[ADDRESS]:PORT" of IPv6); empty when there is no way, or
// the name is not known. Nothing is sent, but names are looked up: it may block.
std::string address_towards(const std::string& endpoint);

}  // namespace gantry::runtime
