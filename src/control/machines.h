// The machines that go on without anybody asking: each looks at one record as it is and edits the draft so that the
// next step towards what is wanted is taken. Pure and level-triggered: run twice, the second changes nothing.
#pragma once

#include <map>
#include <set>
#include <string>

#include "base/rng.h"
#include "control/draft.h"

namespace gantry::control {

// A guest that is to leave its host. Not of the store: a new manager tries at once what the last one put off.
struct Evacuee {
  // The last move that was begun for it.
  std::string move_task_id = {};
  // Why it is there still; empty: it is its turn soon, or it is on its way.
  std::string why = {};
  // It is not tried again before, monotonic, unless its record is another than that one was.
  Milliseconds again_ms = 0;
  std::uint64_t revision = 0;
  // Moves that failed one after another.
  int failures = 0;
};

struct MachineContext {
  Draft& draft;
  Now now;
  Rng& rng;
  // Hosts connected now.
  const std::set<std::string>& connected;
  // Hosts that are not connected count as lost (not yet just after the manager's start).
  bool may_lose_hosts = false;
  // When each task's progress was written last, monotonic; kept between runs.
  std::map<std::string, Milliseconds>& progress_written_ms;
  // By host that goes into maintenance, then by VM; kept between runs.
  std::map<std::string, std::map<std::string, Evacuee>>& evacuees;
  // Filled with the records to look at again in a second.
  std::set<std::string>& look_again;
  // Filled with those that one transaction has no room for.
  std::set<std::string>& put_off;
};

// Looks at the records with those ids and everything that follows from them (volumes of an image, VMs of a volume,
// tasks of a VM...).
void run_machines(MachineContext& context, const std::set<std::string>& dirty);

// Whether something is still to become of the record: it is not as wanted, goes, moves, or a task waits for it.
bool is_open(const View& view, const std::string& id);

// A host token has ended.
bool has_ended_token(const View& view, Now now);
// The oldest idempotency key is more than a day old.
bool has_old_key(const View& view, Now now);

// Forgets the oldest ended tasks beyond `ended_tasks_max`, and idempotency keys that are more than a day old or beyond
// `keys_max`, and host tokens that have ended; a few at a time.
void prune(Draft& draft, std::size_t ended_tasks_max, std::size_t keys_max, Now now);

}  // namespace gantry::control
