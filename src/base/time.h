// Points in time as plain numbers. Only src/runtime reads real clocks; everything else is handed a Now.
#pragma once

#include <cstdint>

namespace gantry {

using Milliseconds = std::int64_t;

struct Now {
  // Since an unknown beginning; never goes back; for timeouts.
  Milliseconds monotonic_ms = 0;
  // Since 1970-01-01 UTC; may jump; for people.
  Milliseconds unix_ms = 0;
};

}  // namespace gantry
