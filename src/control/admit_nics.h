// A new VM's network interfaces.
#pragma once

#include "control/change.h"
#include "policy/place.h"

namespace gantry::control {

// Fills in the network ids, and one interface on the network "default" where none is asked for ("none" alone: none at
// all). Adds the hosts the networks are on to `demand`.
Result<void> resolve_networks(Change& change, v1::VmSpec& spec, policy::PlaceDemand& demand);

// Gives MAC addresses, IPv4 addresses and host ports that nobody else has, and refuses asked ones that somebody has.
Result<void> give_addresses(Change& change, v1::VmSpec& spec, const std::string& host_id);

}  // namespace gantry::control
