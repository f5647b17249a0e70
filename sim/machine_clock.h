// A machine's own clock: it runs a little faster or slower than true time, which no part of Gantry ever sees, and its
// date is wrong.
#pragma once

#include <cstdint>

#include "base/time.h"

namespace gantry::sim {

class MachineClock {
 public:
  MachineClock() = default;
  // Parts in a million that it runs too fast, too slow when negative; and how far its date is ahead.
  explicit MachineClock(std::int64_t drift_ppm, Milliseconds ahead_ms = 0)
      : drift_ppm_(drift_ppm), ahead_ms_(ahead_ms) {}

  [[nodiscard]] Milliseconds ahead_ms() const { return ahead_ms_; }

  [[nodiscard]] Milliseconds shown_at(Milliseconds true_ms) const { return true_ms + true_ms * drift_ppm_ / kMillion; }
  // The first moment of true time at which it shows that.
  [[nodiscard]] Milliseconds true_time_of(Milliseconds shown_ms) const {
    Milliseconds true_ms = shown_ms * kMillion / (kMillion + drift_ppm_);
    while (shown_at(true_ms) < shown_ms) ++true_ms;
    return true_ms;
  }

 private:
  static constexpr std::int64_t kMillion = 1'000'000;
  std::int64_t drift_ppm_ = 0;
  Milliseconds ahead_ms_ = 0;
};

}  // namespace gantry::sim
