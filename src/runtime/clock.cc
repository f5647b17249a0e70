#include "runtime/clock.h"

#include <chrono>

namespace gantry::runtime {

Now real_now() {
  using std::chrono::duration_cast;
  using std::chrono::milliseconds;
  return Now{
      duration_cast<milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count(),
      duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count(),
  };
}

}  // namespace gantry::runtime
