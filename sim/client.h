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
#include "sim/stage.h"

namespace gantry::sim {

class Client {
 public:
  // Whose hosts with `shunned` names nobody uses.
  Client(Stage& stage, std::uint64_t seed, Wishes& wishes, std::string own_host_id, std::string shunned)
      : scheduler_(stage.scheduler),
        trace_(stage.trace),
        rng_(seed),
        swarm_(stage.swarm),
        records_(stage.records),
        worlds_(stage.worlds),
        wishes_(wishes),
        own_host_id_(std::move(own_host_id)),
        shunned_(std::move(shunned)) {}

  // Null while it is down.
  void set_manager(port::Manager* manager) { manager_ = manager; }
  // Goes on until stop(); calls begun by then are repeated until they are answered.
  void start() { next_call(); }
  void stop() { stopped_ = true; }

  using Request = std::shared_ptr<const google::protobuf::Message>;
  // One call, repeated until it is answered.
  void ask(std::string rpc, Request request) {
    begin({.rpc = std::move(rpc), .request = std::move(request), .key = {}});
  }
  // One of them takes leave of a host that does not answer, and says that it is off, having shut it out of shared
  // storage; but not while, in truth, a guest of it has a shared disk open: others would get that.
  void take_leave(const std::string& host_name);
  // Deletes everything that is on a host; then its leave is asked for, whether all is gone by then or not.
  void clear_out(const std::string& host_id, Milliseconds leave_after_ms);

  [[nodiscard]] bool idle() const { return calls_.empty(); }
  // Tasks that were promised.
  [[nodiscard]] const std::set<std::string>& accepted() const { return accepted_; }

 private:
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

  // Where things are made: on a host that has joined, or where nothing is said of it.
  struct Place {
    std::string host;
    // "" or "-" and the host's name: what is made there bears it.
    std::string suffix;
    // What is in each of its names; empty: the default.
    std::string pool;
  };
  Place pick_place();
  // Mostly the same; now and then somebody mixes hosts up.
  Place near(const Place& place) { return rng_.chance(1, 20) ? pick_place() : place; }
  void ask_something();
  void ask_of_hosts(const Place& place);
  void ask_for_maintenance(const Place& place);
  void ask_of_moves(const std::string& vm);
  // Mostly one that is there.
  std::string pick_vm();
  Request create_vm();
  Request create_movable_vm();
  std::string pick_movable();
  [[nodiscard]] bool is_moving(const std::string& vm_name) const;
  Request move_vm(std::string id);
  Request move_volume();
  // Mostly one that has not ended.
  std::string pick_task();
  Request create_volume(const Place& place);
  Request create_image(const Place& place);
  Request create_network(const Place& place);
  Request create_pool(const Place& place);
  Request create_shared_pool();
  static Request create_rule();
  // Where nothing is said of the host something is put; empty: nor of the pool.
  std::string pick_pool(const Place& place);
  [[nodiscard]] std::string pick(const char* kind, std::uint64_t count, const Place& place = {});
  static Request by_id(std::string id);
  static Request leave(std::string id, bool machine_is_off);
  // The machine that is that host of the cluster; nullptr: none is.
  [[nodiscard]] HostWorld* machine_of(const std::string& host_name) const;
  Request stop_vm(std::string id);

  Scheduler& scheduler_;
  Trace& trace_;
  Rng rng_;
  const Swarm& swarm_;
  const Records& records_;
  const std::vector<HostWorld*>& worlds_;
  Wishes& wishes_;
  const std::string own_host_id_;
  const std::string shunned_;
  port::Manager* manager_ = nullptr;
  bool stopped_ = false;
  std::uint64_t numbers_ = 0;
  std::map<std::uint64_t, Call> calls_;
  std::set<std::string> accepted_;
};

}  // namespace gantry::sim
