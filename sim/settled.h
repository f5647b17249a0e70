// Whether everything that was asked for has come to be.
#pragma once

#include <string>

#include "sim/host_world.h"
#include "sim/records.h"

namespace gantry::sim {

// The first thing that is not as it should be once all is healed; empty: all is well.
std::string what_is_missing(const Records& records, const HostWorld& world);

}  // namespace gantry::sim
