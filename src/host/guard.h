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
// One that is told to stop later than it should, as when the process that should have told it was gone, has less: it is
// frozen so long before its kill_at_ms().
inline constexpr Milliseconds kFreezeEarlierMs = 500;

// What was done to a process so far.
struct GuardState {
  // `stop` was sent, and QEMU has until then to do it.
  std::optional<Milliseconds> freeze_at_ms = {};
  bool stop_answered = false;
  // It ran before, so it is to go on after.
  bool resume = false;
  bool frozen = false;
};

enum class GuardStep { none, stop, freeze, thaw, kill };

// For a QEMU that is told to stop now, under a lease with that kill_at_ms().
Milliseconds freeze_at(Milliseconds now_ms, Milliseconds kill_at_ms);
GuardStep plan_guard(const GuardState& state, LeaseRight right, Milliseconds now_ms);
// When to ask again though nothing happened; 0: not.
Milliseconds next_guard_ms(const GuardState& state, LeaseRight right);

}  // namespace gantry::host
