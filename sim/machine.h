// One machine: what is on it (HostWorld), its agent, its link, its clock, and its way into the cluster. Any of these
// fails by itself. Machines are added to a Cluster, which tells them of the manager.
#pragma once

#include <memory>
#include <string>

#include "sim/agent.h"
#include "sim/host_world.h"
#include "sim/joiner.h"
#include "sim/sim_link.h"
#include "sim/stage.h"

namespace gantry::sim {

class Machine {
 public:
  Machine(Stage& stage, Switchboard& board, MachineSetup setup);
  ~Machine();

  [[nodiscard]] const std::string& name() const { return world.setup.name; }
  // On record as a host now.
  [[nodiscard]] bool is_member() const;
  [[nodiscard]] bool is_joining() const { return joiner_.is_busy(); }
  // What its host is called; empty: it is none.
  [[nodiscard]] std::string host_name() const;

  void set_manager(port::Manager* manager) { joiner_.set_manager(manager); }
  // It is the manager's own.
  void be_own_host(const std::string& host_id) { become(host_id, true); }
  // By token, as a host that it was not before. One that has left is the same machine with another id; one on which
  // guests were left is set up anew first, since nothing else joins (src/app/daemon/join.cc).
  void join();

  void crash_agent();
  // Its guests are gone at once; it comes back by itself.
  void lose_power();
  void cut_off(Cut way, Milliseconds for_ms);
  void slow_disk(Milliseconds for_ms);
  void fail_disk(Milliseconds for_ms);
  // Whatever is wrong with it ends.
  void heal();

  HostWorld world;
  SimLink link;

 private:
  void become(const std::string& host_id, bool own);
  void start_agent();

  Stage& stage_;
  Joiner joiner_;
  // Absent while it is down.
  std::unique_ptr<Agent> agent_;
  std::uint64_t agent_runs_ = 0;
  std::uint64_t cuts_ = 0;
};

}  // namespace gantry::sim
