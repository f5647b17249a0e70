// A rehearsal told step by step, for tests: nothing goes wrong but what is asked for.
//
//   Scenario scenario({"a", "b"});          // a is the manager's own machine; b has joined
//   scenario.user().launch("web").on("b");
//   scenario.settle();
//   scenario.host("b").lose_power();
//   scenario.settle();
//   EXPECT_EQ(scenario.where("web"), "b");
//   EXPECT_EQ(scenario.violations(), "");
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "sim/cluster.h"

namespace gantry::sim {

// What a user asks for; each call is repeated until it is answered.
class User {
  static constexpr char kSharedPool[] = "shared";

 public:
  explicit User(Client& client) : client_(client) {}

  class Launch {
   public:
    Launch(Client& client, std::string vm) : client_(client), vm_(std::move(vm)) {}
    // With a blank disk of its own, in that host's pool and on its network.
    void on(const std::string& host) { ask(host, "", false); }
    // Wherever it is put, with its disk where all hosts reach it: it can be moved.
    void in_shared_pool() { ask("", kSharedPool, true); }
    // Wherever it is put, with its disk in a pool of that host: it can be moved, and its disk has to go with it.
    void in_own_pool() { ask("", "", true); }

   private:
    Client& client_;
    void ask(const std::string& host, const std::string& pool, bool on_shared_network);

    std::string vm_;
  };
  Launch launch(std::string vm) { return {client_, std::move(vm)}; }
  void start(const std::string& vm);
  void stop(const std::string& vm);
  void remove(const std::string& vm);
  void move(const std::string& vm, const std::string& host, bool postcopy = false);
  void move_disk(const std::string& volume, const std::string& pool);
  void maintain(const std::string& host, bool on = true);
  void cancel(const std::string& task_id);
  // A pool and a network that all hosts have.
  void share();
  void take_leave_of(const std::string& host) { client_.take_leave(host); }

 private:
  Client& client_;
};

class Scenario {
 public:
  // The first is the manager's own; the others have joined, and all is settled.
  explicit Scenario(const std::vector<std::string>& machines);

  // Another machine, which has not joined: see Machine::join().
  Machine& add_machine(const std::string& name);
  Machine& host(const std::string& name);
  User user() { return User(cluster.client); }
  void kill_manager() { cluster.crash_manager(); }
  void pass(Milliseconds time_ms) { cluster.run_for(time_ms); }
  // Every machine is reached again and its disk is well; then everything comes to be as it was asked for.
  void settle();

  // The machine that the VM's guest runs on, in truth; empty: on none.
  [[nodiscard]] std::string where(const std::string& vm) const;
  // The guest's process, which is another after each boot; 0: there is none.
  [[nodiscard]] std::uint64_t process_of(const std::string& vm) const;
  // Its user shuts the guest down from within.
  void shut_down_within(const std::string& vm);
  // nullptr when there is no such record.
  [[nodiscard]] const v1::Host* host_record(const std::string& name) const;
  [[nodiscard]] const v1::Vm* vm_record(const std::string& name) const;
  // One with that action.
  [[nodiscard]] const v1::Task* task_record(const std::string& action) const;
  // All of them, a line each.
  [[nodiscard]] std::string violations() const;

  Cluster cluster;

 private:
  // Guests by id; the record may be gone while the guest runs.
  struct Found {
    HostWorld* world = nullptr;
    std::string vm_id;
  };
  [[nodiscard]] Found find_guest(const std::string& vm) const;
};

}  // namespace gantry::sim
