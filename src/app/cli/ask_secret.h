// Secrets that a person types.
#pragma once

#include <string>

#include "base/result.h"

namespace gantry::app {

// Reads one line without showing it on a terminal.
std::string ask_secret(const std::string& question);
// The same, on a terminal twice; an error when the two differ.
Result<std::string> ask_new_password(const std::string& question);

}  // namespace gantry::app
