// Where new things are put when nobody says where. Internal to src/control.
#pragma once

#include <string>

#include "control/change.h"

namespace gantry::control {

// The host a new pool or network is put on when none is named: the manager's own machine, if it is a host; else the
// first that is connected.
Result<const v1::Host*> choose_host(const Change& change, const std::string& name_or_id);

}  // namespace gantry::control
