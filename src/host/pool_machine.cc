#include "host/pool_machine.h"

namespace gantry::host {
namespace {

constexpr Milliseconds kInspectEveryMs = 60'000;
constexpr Milliseconds kInspectFailedMs = 5'000;
// Many volumes changing at once cost one inspection.
constexpr Milliseconds kInspectAfterChangeMs = 1'000;

bool moved(std::uint64_t told, std::uint64_t found, std::uint64_t capacity) {
  const std::uint64_t difference = told > found ? told - found : found - told;
  return difference > capacity / 100;
}

}  // namespace

Milliseconds next_inspection_ms(const PoolMemory& memory, Now now) {
  if (!memory.told) return now.monotonic_ms;
  if (memory.inspect_soon) return memory.inspected_at_ms + kInspectAfterChangeMs;
  const bool failed = memory.told->state() == v1::PoolStatus::FAILED;
  return memory.inspected_at_ms + (failed ? kInspectFailedMs : kInspectEveryMs);
}

// A pool that fails keeps what it had.
bool was_ready(const v1::PoolStatus& status) {
  return status.state() == v1::PoolStatus::READY || status.capacity_bytes() != 0;
}

bool differs_noticeably(const v1::PoolStatus& told, const v1::PoolStatus& found) {
  if (told.state() != found.state() || told.problem().code() != found.problem().code()) return true;
  if (told.capacity_bytes() != found.capacity_bytes()) return true;
  return moved(told.available_bytes(), found.available_bytes(), found.capacity_bytes()) ||
         moved(told.allocation_bytes(), found.allocation_bytes(), found.capacity_bytes());
}

}  // namespace gantry::host
