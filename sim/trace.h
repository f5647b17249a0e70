// What happened, line by line, and a digest of it: two runs of one seed must give the same.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/fnv.h"
#include "sim/scheduler.h"

namespace gantry::sim {

class Trace {
 public:
  explicit Trace(const Scheduler& scheduler) : scheduler_(scheduler) {}

  [[nodiscard]] Milliseconds now_ms() const { return scheduler_.now().monotonic_ms; }
  void note(std::string_view who, std::string_view what);
  // Something happened that must never happen. The run goes on to its end; the first one counts.
  void violation(std::string what);

  [[nodiscard]] const std::vector<std::string>& lines() const { return lines_; }
  [[nodiscard]] const std::vector<std::string>& violations() const { return violations_; }
  [[nodiscard]] std::uint64_t digest() const { return digest_; }

 private:
  const Scheduler& scheduler_;
  std::vector<std::string> lines_;
  std::vector<std::string> violations_;
  std::uint64_t digest_ = kFnvBeginning;
};

}  // namespace gantry::sim
