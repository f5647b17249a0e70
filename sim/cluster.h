// A whole cluster under rehearsal: the real manager over its store, machines, users. What goes wrong with any part is
// asked for by whoever rehearses: a swarm of random faults (rehearsal.h), or a scenario (scenario.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sim/client.h"
#include "sim/hostile_host.h"
#include "sim/machine.h"
#include "sim/manager_process.h"
#include "sim/stage.h"
#include "store/memory_store.h"

namespace gantry::sim {

class Cluster {
 public:
  // The first machine is the manager's own. With `calm` nothing goes wrong that nobody asks for.
  Cluster(std::uint64_t seed, const Swarm& swarm, bool calm);
  ~Cluster();

  // Its manager and the first machine's agent.
  void start();
  Machine& add_machine(const MachineSetup& setup);
  [[nodiscard]] const std::vector<std::unique_ptr<Machine>>& machines() const { return machines_; }
  void add_hostile_host(std::uint64_t seed);

  void crash_manager();
  // With the manager, or without: it may be on another machine.
  void lose_power_of_first(bool with_manager);
  // From now on nothing goes wrong, users ask for nothing new, and who lies is taken leave of.
  void heal();

  void run_for(Milliseconds time_ms) {
    run_until(scheduler.now().monotonic_ms + time_ms, [] {});
  }
  // `after_each` event, so between any two steps of anybody.
  void run_until(Milliseconds time_ms, const std::function<void()>& after_each);
  // Until nothing is left to be done; the limit is far beyond every timeout and retry.
  void run_until_settled();

  // After healing. Exactly what ran runs again, as it did, after every machine lost its power.
  void check_power_loss();
  void check_quiet();

  Rng rng;
  const Swarm swarm;
  Scheduler scheduler;
  Trace trace{scheduler};
  Wishes wishes;

 private:
  SimExecutor store_executor_{scheduler};
  store::MemoryStore store_{store_executor_};

 public:
  Records records{store_, trace, wishes};
  SharedFiles shared_files{trace, swarm, records};
  Stage stage;
  Switchboard board;
  Client client;

 private:
  void start_manager();
  void set_manager(port::Manager* manager);
  // Records of hosts that no machine is: one asked to join, and never heard that it had.
  void take_leave_of_strays();
  [[nodiscard]] bool is_joining() const;
  [[nodiscard]] std::string what_is_left_to_do();
  [[nodiscard]] std::map<std::string, GuestState> live_guests_of_members() const;

  std::vector<std::unique_ptr<Machine>> machines_;
  std::unique_ptr<HostileHost> hostile_;
  // Absent while it is down.
  std::unique_ptr<ManagerProcess> manager_;
  std::set<std::string> strays_;
};

}  // namespace gantry::sim
