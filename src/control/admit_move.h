// What moves of guests, and of their disks, ask alike. Internal to src/control.
#pragma once

#include "base/result.h"
#include "control/view.h"

namespace gantry::control {

// The VM's guest runs, and nothing of it moves: a conflict that says why it cannot be moved.
Result<void> check_runs(const View& view, const v1::Vm& vm);

}  // namespace gantry::control
