// Time that goes on while the machine sleeps, for rights that end whether or not anybody is awake.
#pragma once

#include "base/result.h"
#include "base/time.h"
#include "base/unique_fd.h"

namespace gantry::runtime {

// Since the machine's boot, the same for all its processes.
Milliseconds boot_now_ms();

// Readable once that time has come, at once when the machine wakes after it.
class BootTimer {
 public:
  static Result<BootTimer> make();
  // Replaces an earlier time.
  void arm(Milliseconds at_ms) const;
  // Another descriptor of the timer, to be watched.
  [[nodiscard]] UniqueFd watched() const;

 private:
  explicit BootTimer(UniqueFd timer) : timer_(std::move(timer)) {}
  UniqueFd timer_;
};

}  // namespace gantry::runtime
