// How a live move of a running guest will go, from how fast it changes its memory: the rounds of precopy, each sending
// what was changed during the one before, until the rest fits into the time that the guest may stand still. The model
// of Clark et al., "Live Migration of Virtual Machines" (NSDI 2005), with QEMU's auto-converge as the way out.
#pragma once

#include <cstdint>
#include <string>

#include "base/time.h"

namespace gantry::policy {

struct MoveLoad {
  // What has to be sent: memory, and disks that are not shared. In bytes.
  std::uint64_t memory_bytes = 0;
  std::uint64_t disk_bytes = 0;
  // Measured while the guest runs.
  std::uint64_t dirty_bytes_per_second = 0;
  // Of the way between the hosts, or what the move may use of it.
  std::uint64_t bytes_per_second = 0;
  Milliseconds downtime_max_ms = 100;
  // What does not fit is fetched once the guest goes on at the target, and nobody slows it down.
  bool postcopy = false;
};

struct MoveForecast {
  bool converges = false;
  // The guest has to be slowed down for it, to so many per cent of its speed; 100: not at all.
  std::uint32_t speed_percent = 100;
  Milliseconds total_ms = 0;
  Milliseconds downtime_ms = 0;
  std::uint32_t rounds = 0;
  // It goes on before all of its memory is there.
  bool fetches = false;
  // A sentence: why it does not converge, or what it is counted from.
  std::string reason = {};
};

// The least slowing down that makes it converge, if any does.
MoveForecast forecast_move(const MoveLoad& load);

}  // namespace gantry::policy
