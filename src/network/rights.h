// What the daemon may do to this host's network.
#pragma once

#include <string>
#include <string_view>

#include "gantry/v1/network.pb.h"

namespace gantry::network {

// Why networks of that kind cannot be made here, in a sentence; empty: they can. Runs nft once.
std::string why_not(v1::NetworkSpec::Kind kind);

// Whether /proc/*/status, given as text, has CAP_NET_ADMIN among the effective capabilities.
bool has_net_admin(std::string_view status);

}  // namespace gantry::network
