// One pool on this host: pure functions, as in vm_machine.h.
#pragma once

#include <optional>

#include "base/time.h"
#include "gantry/v1/storage.pb.h"

namespace gantry::host {

enum class PoolStep { none, inspect, release };

struct PoolMemory {
  // Nothing yet: never inspected by this run of the agent.
  std::optional<v1::PoolStatus> told;
  bool inspect_soon = true;
  Milliseconds inspected_at_ms = 0;
  // Of a release that failed.
  Milliseconds release_not_before_ms = 0;
};

// When to inspect it again; at once when that is not after `now`.
Milliseconds next_inspection_ms(const PoolMemory& memory, Now now);
// Whether that status is of a pool that was READY once.
bool was_ready(const v1::PoolStatus& status);
// Whether people and placement would care for the difference.
bool differs_noticeably(const v1::PoolStatus& told, const v1::PoolStatus& found);

}  // namespace gantry::host
