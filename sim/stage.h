// What all parts of one rehearsal share.
#pragma once

#include <cstdint>
#include <map>
#include <set>
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
  // The last write that is in each volume's file, and the last that each guest made to each of its disks, which it
  // knows by its serial number. They count up; in a new file there is none.
  std::map<std::string, std::uint64_t> content = {};
  std::map<std::string, std::uint64_t> written = {};
  std::uint64_t writes = 0;
  // Volumes whose disk is in another since.
  std::set<std::string> superseded = {};
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
