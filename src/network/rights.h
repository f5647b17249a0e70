// What the daemon may do to this host's network.
#pragma once

#include <string>
#include <string_view>

#include "gantry/v1/network.pb.h"

namespace gantry::network {

// Why networks of that kind cannot be made here, in a sentence; empty: they can. Tries it: makes a tap and a bridge and
// takes them away again, and lets nft check rules.
std::string why_not(v1::NetworkSpec::Kind kind);
// Why guests in user mode cannot be kept from the host's loopback; empty: they can.
std::string why_no_loopback_guard();

// Whether /proc/*/status, given as text, has CAP_NET_ADMIN among the effective capabilities.
bool has_net_admin(std::string_view status);

}  // namespace gantry::network
