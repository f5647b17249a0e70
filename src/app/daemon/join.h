// "gantryd join TOKEN": makes this machine a host of the cluster that made the token.
#pragma once

#include <string>

#include "app/daemon/options.h"
#include "base/result.h"

namespace gantry::app {

// What was done, or with dry_run would be, and the next step, for people. Refused when another gantryd uses the state
// directory, when this machine has guests, volumes or images, or is a host of a cluster already (unless told to leave
// that one). A failure before the manager was asked changes nothing but the count of starts.
Result<std::string> join(const DaemonOptions& options, const JoinOptions& asked);

}  // namespace gantry::app
