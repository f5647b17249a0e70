// What a host says that it is reached at, before others are told of it: it goes into their kernels.
#pragma once

#include <string>

#include "control/draft.h"

namespace gantry::control {

// Without an IPv4 address that overlays must not lead to: one that means something to each host itself or to many, and
// one that is another host's. A problem says why.
v1::HostStatus with_usable_address(const Draft& draft, const std::string& host_id, const v1::HostStatus& said);

}  // namespace gantry::control
