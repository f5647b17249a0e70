// The sentinel of a modelled host: the real lease and guard machines over a pool that is slow, fails and takes writes
// late. It lives beside the agent and outlives its crashes; of its own two processes one may die, which costs nobody
// anything, or both, and then the kernel freezes every guest.
//
// The truth is here too: whenever a guest's processors run, the host must have its lease.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/rng.h"
#include "host/guard.h"
#include "host/lease.h"
#include "port/sentinel.h"
#include "sim/shared_files.h"
#include "sim/stage.h"

namespace gantry::sim {

class ModelSentinel {
 public:
  ModelSentinel(Stage& stage, HostWorld& world);

  // The agent's, while there is one.
  std::function<void(const port::LeaseObservation&)> observer;
  std::function<void()> restarted;
  bool calm = false;

  void want(const port::LeaseWish& wish);
  void remove(const port::LeaseWish& wish);
  // One of its processes dies, or both.
  void crash();
  void lose_power();
  // The machine is set up anew.
  void wipe();
  // As the launcher asks: whether a guest with that guard may become a process.
  [[nodiscard]] bool guards(const std::string& vm_id) const;
  // That guest's processors run now.
  void check_runs(const std::string& vm_id);

  // The leases of the host's own pools.
  [[nodiscard]] const std::map<std::string, host::LeaseRecord>& private_leases() const { return records_; }
  // By VM: made by a write that was given up, when nobody asked for them any more. They lie there for good: a file
  // system cannot refuse what is on its way, and whoever asks for that lease again takes it.
  std::set<std::string> came_late;

 private:
  struct Ward {
    explicit Ward(const port::LeaseWish& wanted) : wish(wanted), lease(wanted.host_id) {}
    port::LeaseWish wish;
    host::Lease lease;
    host::GuardState guard;
    // It was begun to sign it over to another host.
    bool signs_over = false;
    bool io = false;
    std::string told;
    // Of the wake that counts.
    std::uint64_t wake = 0;
  };

  // The machine's own clock.
  [[nodiscard]] Milliseconds now_ms() const;
  void take_over();
  void step(const std::string& vm_id);
  static void sign_over(Ward& ward, bool lives);
  [[nodiscard]] static bool is_given_away(const Ward& ward);
  // The guest stands and goes on by the agent's word alone, which waits for the lease.
  [[nodiscard]] bool waits_for_agent(const Ward& ward) const;
  void guard(const std::string& vm_id, Ward& ward);
  void tell(const std::string& vm_id, Ward& ward);
  void wake(const std::string& vm_id, Ward& ward, Milliseconds at_ms);
  [[nodiscard]] std::map<std::string, host::LeaseRecord>& records_of(bool is_private) {
    return is_private ? records_ : shared_.leases;
  }
  void read(const std::string& vm_id);
  void fence(const std::string& vm_id);
  void write(const std::string& vm_id, const host::LeaseWrite& write);
  void look();
  [[nodiscard]] Milliseconds latency_ms();
  [[nodiscard]] bool fails(bool is_private);
  // Unless its processes died meanwhile.
  void later(Milliseconds delay_ms, std::function<void()> work);

  Scheduler& scheduler_;
  Trace& trace_;
  Rng& rng_;
  const Swarm& swarm_;
  const std::vector<HostWorld*>& worlds_;
  SharedFiles& shared_;
  HostWorld& world_;
  std::uint64_t run_ = 1;
  std::map<std::string, Ward> wards_;
  // While the process that served is gone and the other has not noticed.
  std::optional<std::map<std::string, Ward>> inheritance_;
  // On the host's own pools.
  std::map<std::string, host::LeaseRecord> records_;
};

}  // namespace gantry::sim
