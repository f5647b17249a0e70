// What all parts of one rehearsal share.
#pragma once

#include <vector>

#include "base/rng.h"
#include "sim/records.h"
#include "sim/scheduler.h"
#include "sim/swarm.h"
#include "sim/trace.h"
#include "sim/wishes.h"

namespace gantry::sim {

class HostWorld;
class SharedFiles;

struct Stage {
  Scheduler& scheduler;
  Trace& trace;
  Rng& rng;
  const Swarm& swarm;
  Records& records;
  const Wishes& wishes;
  // The truth about every machine.
  std::vector<HostWorld*> worlds = {};
  // The truth about directories that several of them have.
  SharedFiles* shared_files = nullptr;
  // Nothing goes wrong by itself any more.
  bool calm = true;
};

}  // namespace gantry::sim
