// Whether somebody changed the firewall.
#pragma once

#include <cstdint>
#include <optional>

namespace gantry::network {

// The number of the ruleset in the calling process's network namespace: each transaction adds one. Nothing when the
// kernel does not say. Needs CAP_NET_ADMIN; costs some microseconds. (NFT_MSG_GETGEN of linux/netfilter/nf_tables.h)
std::optional<std::uint32_t> ruleset_generation();

}  // namespace gantry::network
