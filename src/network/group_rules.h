// What the security groups of NICs let through, as text for nft; applied as rules.h says.
//
// Each NIC with groups has two chains in the table `bridge gantry`: what its guest sends, and what comes to it, whoever
// it is from: guests, other hosts' guests, this host, the outside. Which packets answer to what was let through only
// conntrack knows, which sees bridged packets when br_netfilter hands them to the hooks of IP (links.h:
// track_bridge_connections). The table `inet gantry_state` asks it there and leaves a mark on the packet, which the
// chains look for. (nf_conntrack_bridge would do without the mark, but many kernels lack it.)
//
// What has the known IPv4 address of a NIC with groups is dropped unless it comes from its tap: or else whoever sent in
// its name would be answered by others as if it had asked them.
//
// Only the side that opened a connection is held to the rules; the other's packets are answers. So when a rule is taken
// away, what it let through ends at once.
#pragma once

#include <string>

#include "network/plan.h"

namespace gantry::network {

// Of a NIC without a filter: nothing.
std::string group_rules(const NicPlan& nic);
std::string group_removal(const NicPlan& nic);
// The table of states.
std::string group_state_removal();
inline constexpr char kGroupState[] = "inet gantry_state";

}  // namespace gantry::network
