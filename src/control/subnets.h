// Segments, addresses and bridge names of NAT networks.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "base/rng.h"
#include "control/view.h"

namespace gantry::control {

// `wanted` if no other network overlaps it ("subnet_in_use" otherwise); when empty the first free 10.66.N.0/24.
Result<std::string> choose_subnet(const View& view, const std::string& wanted);

// An address for a guest in `subnet`: neither the network's own (the first), nor one for which `taken` answers true.
// Low ones first.
Result<std::string> choose_address(const std::string& subnet, Rng& rng,
                                   const std::function<bool(const std::string&)>& taken);

// Unique as the id is, and short enough for the kernel (15 characters).
std::string bridge_name(const std::string& network_id);

}  // namespace gantry::control
