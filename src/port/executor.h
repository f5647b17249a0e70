// The one thread that decisions are made on, and its clock. In production src/runtime's loop; in rehearsal the
// simulator.
#pragma once

#include <functional>

#include "base/time.h"

namespace gantry::port {

class Executor {
 public:
  virtual ~Executor() = default;
  // Runs `work` later on the loop, in the order of posting; may be called from any thread.
  virtual void post(std::function<void()> work) = 0;
  // Runs `work` on the loop once `delay_ms` have passed; may be called from the loop only.
  virtual void post_after(Milliseconds delay_ms, std::function<void()> work) = 0;
  [[nodiscard]] virtual Now now() const = 0;
};

}  // namespace gantry::port
