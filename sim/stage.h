// What all parts of one rehearsal share.
#pragma once

#include <cstdint>
#include <map>
#include <string>
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

// What was done to guests ever, on whatever machine.
struct Deeds {
  // Operations done; but a boot that ended with its machine may be done once more.
  std::map<std::string, int> boots = {};
  std::map<std::string, int> resets = {};
  // By the secret of a move: the machine on which the guest went on after everything of it was sent.
  std::map<std::string, std::string> went_on = {};
  std::uint64_t moves = 0;
  // By VM: the volumes that its guest had last, in their order.
  std::map<std::string, std::vector<std::string>> disks = {};
};

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
  Deeds deeds = {};
  // Nothing goes wrong by itself any more.
  bool calm = true;
};

}  // namespace gantry::sim
