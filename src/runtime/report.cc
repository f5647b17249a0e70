#include "runtime/report.h"

#include <errno.h>

#include <algorithm>
#include <cstdio>

namespace gantry::runtime {

void report_problem(const std::string& text) {
  std::string line = std::string(program_invocation_short_name) + ": " + text;
  std::replace(line.begin(), line.end(), '\n', ' ');
  line += '\n';
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace gantry::runtime
