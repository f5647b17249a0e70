// The only place that reads real clocks.
#pragma once

#include "base/time.h"

namespace gantry::runtime {

Now real_now();

}  // namespace gantry::runtime
