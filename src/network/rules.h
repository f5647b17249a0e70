// The firewall as text for `nft -f -`, which applies each text in one transaction.
//
// A NAT network has a table of its own, `inet gn-…`: address translation, forwarding, what guests may reach on the
// host, and maps of port forwards. One table `bridge gantry` guards all guests' ports: a verdict map leads from the
// tap's name to that NIC's chain. So putting or taking one NIC touches nothing of another. Every text may be applied
// again and again.
#pragma once

#include <string>

#include "network/plan.h"

namespace gantry::network {

std::string network_rules(const NatPlan& plan);
std::string network_removal(const NatPlan& plan);

// Of a NIC with a tap. Forwards of a network whose rules are not there (yet) are kept for them.
std::string nic_rules(const NicPlan& nic);
std::string nic_removal(const NicPlan& nic);
// The table of all guests' ports.
std::string guard_removal();

// What guests in user mode, whose packets are their QEMU's own, may not reach: what listens on the host's loopback, but
// DNS. The table is named kLoopbackGuard.
std::string loopback_guard();
std::string loopback_guard_removal();
inline constexpr char kLoopbackGuard[] = "inet gantry_user";

// The link-local address a card with that MAC gives itself, in the form fe80…: 32 hexadecimal digits (RFC 4291,
// EUI-64).
std::string link_local_digits(const std::string& mac);

}  // namespace gantry::network
