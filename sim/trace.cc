#include "sim/trace.h"

#include <array>
#include <cstdio>

namespace gantry::sim {

void Trace::note(std::string_view who, std::string_view what) {
  std::array<char, 48> head{};
  const double seconds = static_cast<double>(scheduler_.now().monotonic_ms) / 1000.0;
  std::snprintf(head.data(), head.size(), "%9.3f  %-8.*s ", seconds, static_cast<int>(who.size()), who.data());
  std::string line = std::string(head.data()) + std::string(what);
  digest_ = fnv1a(line, digest_);
  lines_.push_back(std::move(line));
}

void Trace::violation(std::string what) {
  note("CHECK", "VIOLATION: " + what);
  violations_.push_back(std::move(what));
}

}  // namespace gantry::sim
