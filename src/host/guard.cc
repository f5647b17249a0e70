#include "host/guard.h"

namespace gantry::host {

GuardStep plan_guard(const GuardState& state, LeaseRight right, Milliseconds now_ms) {
  if (right == LeaseRight::none) return GuardStep::kill;
  if (right == LeaseRight::run) return state.stop_sent_ms || state.frozen ? GuardStep::thaw : GuardStep::none;
  if (state.frozen) return GuardStep::none;
  if (!state.stop_sent_ms) return GuardStep::stop;
  const bool late = now_ms >= *state.stop_sent_ms + kGuestStopMs;
  return state.stop_answered || late ? GuardStep::freeze : GuardStep::none;
}

Milliseconds next_guard_ms(const GuardState& state) {
  return state.stop_sent_ms && !state.frozen ? *state.stop_sent_ms + kGuestStopMs : 0;
}

}  // namespace gantry::host
