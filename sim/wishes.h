// What users asked for that lets a guest be ended before it powers off: the truth that kills are held against, kept by
// those who ask and not by the manager.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/time.h"

namespace gantry::sim {

// Users of the rehearsal give no VM a timeout of its own: it is the agent's default.
inline constexpr Milliseconds kStopTimeoutMs = 60'000;

class Wishes {
 public:
  // A request by that number is on its way, and may be carried out until it is answered. `timeout_ms` 0: at once.
  void ask(std::uint64_t number, const std::string& vm_name, Milliseconds timeout_ms) {
    wishes_[number] = {.vm_name = vm_name, .timeout_ms = timeout_ms, .answered_ms = std::nullopt};
  }
  void answer(std::uint64_t number, Milliseconds now_ms) {
    const auto found = wishes_.find(number);
    if (found != wishes_.end() && !found->second.answered_ms) found->second.answered_ms = now_ms;
  }
  // How long a guest of that VM has at least to power off, by what was asked since its boot was committed.
  [[nodiscard]] Milliseconds shortest_stop_ms(const std::string& vm_name, Milliseconds boot_committed_ms) const {
    Milliseconds shortest_ms = kStopTimeoutMs;
    for (const auto& [number, wish] : wishes_) {
      const bool counts = wish.vm_name == vm_name && (!wish.answered_ms || *wish.answered_ms >= boot_committed_ms);
      if (counts) shortest_ms = std::min(shortest_ms, wish.timeout_ms);
    }
    return shortest_ms;
  }

 private:
  struct Wish {
    std::string vm_name;
    Milliseconds timeout_ms = 0;
    std::optional<Milliseconds> answered_ms;
  };
  std::map<std::uint64_t, Wish> wishes_;
};

}  // namespace gantry::sim
