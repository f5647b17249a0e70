// Whether everything that was asked for has come to be.
#pragma once

#include <string>

#include "sim/stage.h"

namespace gantry::sim {

// The first thing that is not as it should be once all is healed; empty: all is well.
std::string what_is_missing(const Stage& stage);

}  // namespace gantry::sim
