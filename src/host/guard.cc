#include "host/guard.h"

#include <algorithm>

namespace gantry::host {

Milliseconds freeze_at(Milliseconds now_ms, Milliseconds kill_at_ms) {
  if (kill_at_ms == 0) return now_ms + kGuestStopMs;
  return std::clamp(kill_at_ms - kFreezeEarlierMs, now_ms, now_ms + kGuestStopMs);
}

GuardStep plan_guard(const GuardState& state, LeaseRight right, Milliseconds now_ms) {
  if (right == LeaseRight::none) return GuardStep::kill;
  if (right == LeaseRight::run) return state.freeze_at_ms || state.frozen ? GuardStep::thaw : GuardStep::none;
  if (state.frozen) return GuardStep::none;
  if (!state.freeze_at_ms) return GuardStep::stop;
  const bool late = now_ms >= *state.freeze_at_ms;
  return state.stop_answered || late ? GuardStep::freeze : GuardStep::none;
}

Milliseconds next_guard_ms(const GuardState& state, LeaseRight right) {
  // Once it may run again, only QEMU's answer is waited for.
  if (right == LeaseRight::run) return 0;
  return state.freeze_at_ms && !state.frozen ? *state.freeze_at_ms : 0;
}

}  // namespace gantry::host
