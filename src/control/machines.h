// The machines that go on without anybody asking: each looks at one record as it is and edits the draft so that the
// next step towards what is wanted is taken. Pure and level-triggered: run twice, the second changes nothing.
#pragma once

#include <map>
#include <set>
#include <string>

#include "base/rng.h"
#include "control/draft.h"

namespace gantry::control {

struct MachineContext {
  Draft& draft;
  Now now;
  // Hosts connected now.
  const std::set<std::string>& connected;
  // Hosts that are not connected count as lost (not yet just after the manager's start).
  bool may_lose_hosts = false;
  // When each task's progress was written last, monotonic; kept between runs.
  std::map<std::string, Milliseconds>& progress_written_ms;
  // Filled with the records to look at again in a second.
  std::set<std::string>& look_again;
  // Filled with those that one transaction has no room for.
  std::set<std::string>& put_off;
};

// Looks at the records with those ids and everything that follows from them (volumes of an image, VMs of a volume,
// tasks of a VM...).
void run_machines(MachineContext& context, const std::set<std::string>& dirty);

// A host token has ended.
bool has_ended_token(const View& view, Now now);
// The oldest idempotency key is more than a day old.
bool has_old_key(const View& view, Now now);

// Forgets the oldest ended tasks beyond `ended_tasks_max`, and idempotency keys that are more than a day old or beyond
// `keys_max`, and host tokens that have ended; a few at a time.
void prune(Draft& draft, std::size_t ended_tasks_max, std::size_t keys_max, Now now);

}  // namespace gantry::control
