// One seed: the real manager and the real agent over a modelled host, link and store. First everything that can go
// wrong does, then it heals, and then everything must come to be as it was asked for, and quiet.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/manager.h"
#include "sim/agent.h"
#include "sim/client.h"
#include "sim/host_world.h"
#include "sim/hostile_host.h"
#include "sim/records.h"
#include "sim/scheduler.h"
#include "sim/sim_link.h"
#include "sim/swarm.h"
#include "sim/trace.h"
#include "store/faulty_store.h"
#include "store/memory_store.h"

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
  ~Rehearsal();
  Report run();

 private:
  void set_manager(port::Manager* manager);
  void start_manager();
  void start_agent();
  void crash_manager();
  void crash_agent();
  void lose_power();
  void perhaps_fail();
  void heal();
  void run_until(Milliseconds time_ms, bool with_faults);
  // Until nothing is left to be done; the limit is far beyond every timeout and retry.
  void run_until_settled();
  // Exactly what ran runs again, as it did.
  void check_power_loss();
  void check_quiet();

  static constexpr const char* kHostId = "host-000000000001";
  std::uint64_t seed_;
  Rng rng_;
  Swarm swarm_;
  Scheduler scheduler_;
  Trace trace_{scheduler_};
  SimExecutor store_executor_{scheduler_};
  store::MemoryStore store_{store_executor_};
  Wishes wishes_;
  Records records_{store_, trace_, swarm_, wishes_};
  HostWorld world_{scheduler_, trace_, rng_, swarm_, records_, wishes_};
  SharedFiles shared_files_{trace_, swarm_, records_};
  SimLink link_{scheduler_, trace_, rng_, kHostId};
  Client client_;
  // In some seeds.
  std::unique_ptr<HostileHost> hostile_;
  // The processes; absent while they are down.
  std::unique_ptr<Agent> agent_;
  std::unique_ptr<SimExecutor> manager_executor_;
  std::unique_ptr<store::FaultyStore> faulty_store_;
  std::unique_ptr<control::ManagerCore> manager_;
  std::uint64_t agent_runs_ = 0;
  bool healed_ = false;
};

}  // namespace gantry::sim
