// For what has no caller left to tell it to.
#pragma once

#include <string>

namespace gantry::runtime {

// One line to the error output, which the system's journal keeps. From any thread.
void report_problem(const std::string& text);

}  // namespace gantry::runtime
