// What an overlay's way to other hosts lets through, as text for nft; applied as rules.h says. A part of network_rules.
#pragma once

#include <set>
#include <string>

#include "network/plan.h"

namespace gantry::network {

inline constexpr int kVxlanPort = 4789;  // RFC 7348

// `plan.overlay` is there.
//
// Every host has the same gateway, DHCP and DNS for its own guests: they never cross over. And of this network's
// packets only those of hosts that have guests in it are heard; of others' VXLANs on this host nothing is said.
std::string overlay_rules(const NatPlan& plan);
std::string overlay_removal(const NatPlan& plan);
// Other peers than before.
std::string overlay_peers(const NatPlan& plan);

}  // namespace gantry::network
