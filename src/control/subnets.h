// Segments and addresses of NAT networks.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/rng.h"
#include "control/view.h"
#include "model/ipv4.h"

namespace gantry::control {

// `wanted` if no other network overlaps it ("subnet_in_use" otherwise); when empty the first /24 of
// 10.66.0.0/16, 172.29.0.0/16 and 192.168.0.0/16 (this one from its end) that is free on the manager's machine too, and
// overlaps none of `also_taken`.
Result<std::string> choose_subnet(const View& view, const std::string& wanted,
                                  const std::vector<model::Ipv4Subnet>& also_taken = {});

// An address for a guest in `subnet`: neither the network's own (the first), nor one for which `taken` answers true.
// Low ones first.
Result<std::string> choose_address(const std::string& subnet, Rng& rng,
                                   const std::function<bool(const std::string&)>& taken);

}  // namespace gantry::control
