// The daemon's log: lines on standard error, which systemd keeps in its journal.
#pragma once

#include <string>

namespace gantry::app {

// "debug", "info", "warn" or "error".
void start_logging(const std::string& level);

}  // namespace gantry::app
