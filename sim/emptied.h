// Hosts in maintenance, once all is healed: nothing runs there that could run elsewhere.
#pragma once

#include <string>

#include "sim/stage.h"

namespace gantry::sim {

// A guest that is left on such a host for no reason, or a task that waits for none; empty: all is well.
std::string what_is_not_emptied(const Stage& stage);

}  // namespace gantry::sim
