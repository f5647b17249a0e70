// What a host may be told: only what has to do with it.
#pragma once

#include <string>

#include "gantry/v1/link.pb.h"
#include "sim/stage.h"

namespace gantry::sim {

// Every record in the message is that host's by what was committed, and says so itself.
void check_isolation(Stage& stage, const std::string& host_id, const v1::ToHost& message);

}  // namespace gantry::sim
