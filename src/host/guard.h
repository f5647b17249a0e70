// What the sentinel does to a guest's process when its right to run comes and goes. Pure; the sentinel carries it out.
//
// A guest that lost its right is stopped over QMP first, which lets QEMU bring its writes to an end; then its process
// is frozen (SIGSTOP), whether or not QEMU answered: a frozen process writes nothing, and nobody but the sentinel lets
// it go on. One whose lease is another's is killed.
#pragma once

#include "base/time.h"
#include "host/lease.h"

namespace gantry::host {

// How long QEMU has to stop the guest before it is frozen as it is: pause_ms + this is sooner than kill_ms.
inline constexpr Milliseconds kGuestStopMs = 1'500;

// What was done to a process so far.
struct GuardState {
  // `stop` was sent then.
  std::optional<Milliseconds> stop_sent_ms = {};
  bool stop_answered = false;
  // It ran before, so it is to go on after.
  bool resume = false;
  bool frozen = false;
};

enum class GuardStep { none, stop, freeze, thaw, kill };

GuardStep plan_guard(const GuardState& state, LeaseRight right, Milliseconds now_ms);
// When to ask again though nothing happened; 0: not.
Milliseconds next_guard_ms(const GuardState& state);

}  // namespace gantry::host
