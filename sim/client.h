// Users of the API: they ask for all kinds of things at random, repeat what was not answered with the same idempotency
// key, and hold the manager to its answers.
#pragma once

#include <google/protobuf/message.h>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/rng.h"
#include "port/manager.h"
#include "sim/records.h"
#include "sim/scheduler.h"
#include "sim/swarm.h"
#include "sim/trace.h"
#include "sim/wishes.h"

namespace gantry::sim {

class Client {
 public:
  Client(Scheduler& scheduler, Trace& trace, std::uint64_t seed, const Swarm& swarm, const Records& records,
         Wishes& wishes)
      : scheduler_(scheduler), trace_(trace), rng_(seed), swarm_(swarm), records_(records), wishes_(wishes) {}

  // Null while it is down.
  void set_manager(port::Manager* manager) { manager_ = manager; }
  // Goes on until stop(); calls begun by then are repeated until they are answered.
  void start() { next_call(); }
  void stop() { stopped_ = true; }

  // One of them takes leave of a host.
  void take_leave(const std::string& host_name);

  [[nodiscard]] bool idle() const { return calls_.empty(); }
  // Tasks that were promised.
  [[nodiscard]] const std::set<std::string>& accepted() const { return accepted_; }

 private:
  using Request = std::shared_ptr<const google::protobuf::Message>;
  struct Call {
    std::string rpc;
    Request request;
    std::string key;
    bool dry_run = false;
    // The task an earlier answer to the same key named.
    std::string task_id = {};
    std::uint64_t attempt = 0;
  };

  void next_call();
  void begin(std::string rpc, Request request);
  void begin(Call call);
  void note_wish(std::uint64_t number, const Call& call);
  void end(std::uint64_t number, bool refused = false);
  void attempt(std::uint64_t number);
  void answered(std::uint64_t number, const Result<std::unique_ptr<google::protobuf::Message>>& answer);
  void accept(Call& call, const std::string& task_id);

  // Requests.
  void ask_something();
  // Mostly one that is there.
  std::string pick_vm();
  Request create_vm();
  Request create_volume();
  Request create_image();
  static Request create_rule();
  Request create_pool();
  // Where something is put; empty: where nothing else is said.
  std::string pick_pool();
  [[nodiscard]] std::string pick(const char* kind, std::uint64_t count);
  Request by_id(std::string id);
  Request stop_vm(std::string id);

  Scheduler& scheduler_;
  Trace& trace_;
  Rng rng_;
  const Swarm& swarm_;
  const Records& records_;
  Wishes& wishes_;
  port::Manager* manager_ = nullptr;
  bool stopped_ = false;
  std::uint64_t numbers_ = 0;
  std::map<std::uint64_t, Call> calls_;
  std::set<std::string> accepted_;
};

}  // namespace gantry::sim
