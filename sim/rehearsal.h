// One seed: a cluster of the real manager and real agents over modelled machines, links and a store. First everything
// that can go wrong does, then it heals, and then everything must come to be as it was asked for, and quiet.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/cluster.h"

namespace gantry::sim {

struct Report {
  std::uint64_t seed = 0;
  std::uint64_t digest = 0;
  std::uint64_t events = 0;
  std::size_t tasks = 0;
  std::vector<std::string> violations;
  std::vector<std::string> timeline;
};

class Rehearsal {
 public:
  explicit Rehearsal(std::uint64_t seed);
  Report run();

 private:
  Rehearsal(std::uint64_t seed, Rng rng);
  void add_machines();
  // Comings and goings of hosts, each at a time of its own.
  void plan_memberships();
  void come_and_go(Machine& machine);
  void perhaps_fail();
  void fail_a_machine();
  [[nodiscard]] Machine& some_machine();

  std::uint64_t seed_;
  Cluster cluster_;
  Rng& rng_;
  const Swarm& swarm_;
};

}  // namespace gantry::sim
