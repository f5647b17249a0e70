// The main thread's waiting while others serve.
#pragma once

#include <signal.h>

#include <functional>

#include "app/daemon/options.h"
#include "base/result.h"

namespace gantry::app {

// Those it ends on, those that only wake it, and SIGHUP, which does nothing. Blocked on this thread, and so on all that
// are made later: signals are taken by waiting alone.
sigset_t block_signals();
// Has the main thread look again, from any thread.
void wake_main_thread();

// Waits for a signal to end, which it returns, or until `enough` says so: 0. The server takes a replaced certificate by
// itself, and this machine's clients are told of it by `offer`: until then they would not trust it.
int wait_for_end(const sigset_t& signals, const DaemonOptions& options, const std::function<Result<void>()>& offer,
                 const std::function<bool()>& enough);

}  // namespace gantry::app
