// The manager's decisions, driven over ports: the view of the store, admission of API calls, the machines, and what
// hosts are sent and say.
//
// To construct (src/app and sim do it alike; everything handed over must outlive the core):
//
//   ManagerOptions options;
//   options.seed = ...;  // another one for each construction: ids are made from it
//   ManagerCore core(store, manager_link, executor, options);
//   core.start();        // on the executor's thread, or before it runs
//   core.call("CreateVm", request, {.actor = "admin"}, done);
//
// start() takes over the link's handlers. To crash a manager in rehearsal, destroy the core (on the executor's thread,
// or while it does not run) and make a new one over the same store and link: calls not answered yet are dropped without
// an answer, and work still posted does nothing.
//
// Threads: call() from any; everything else, and every decision, on the executor's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "control/host_subnet.h"
#include "policy/place.h"
#include "port/executor.h"
#include "port/link.h"
#include "port/manager.h"
#include "port/metrics.h"
#include "port/store.h"

namespace gantry::control {

class View;

struct ManagerOptions {
  // One line each; may be empty.
  std::function<void(std::string_view)> log = {};
  // Must differ between constructions over one store.
  std::uint64_t seed = 0;
  // Where the pool "default" lies that is made for the first host.
  std::string default_pool_path = "/var/lib/gantry/pools/default";
  // Hosts of this process: the record of one is made when it first speaks. All others become hosts by AdmitHost alone,
  // and what a host says without a record is not listened to.
  std::set<std::string> own_hosts = {};
  // Virtual processors that are promised for each of a host's; memory is never promised twice.
  std::uint32_t cpu_overcommit = policy::kCpuOvercommit;
  // Segments this machine is in itself: none of them is chosen for a network that names none, but for those on the
  // bridge of a network on record.
  std::vector<HostSubnet> taken_subnets = {};
  // Assignments that a host has not carried out yet are sent again so often, and every third time all of them.
  Milliseconds resend_ms = 10'000;
  // After start() a host has so long to connect before it counts as lost.
  Milliseconds host_grace_ms = 10'000;
  // Ended tasks beyond so many are forgotten, oldest first.
  std::size_t ended_tasks_max = 10'000;
  // Idempotency keys are forgotten after a day, or when they are more than so many, oldest first.
  std::size_t idempotency_keys_max = 50'000;
  // What hosts measured goes there; nullptr: nowhere.
  port::SampleSink* samples = nullptr;
};

class ManagerCore final : public port::Manager {
 public:
  ManagerCore(port::Store& store, port::ManagerLink& link, port::Executor& executor, ManagerOptions options);
  ~ManagerCore() override;
  ManagerCore(const ManagerCore&) = delete;
  ManagerCore& operator=(const ManagerCore&) = delete;

  void start();

  // Calls that come before the records were read wait for them, up to 5 s. A call whose commit's outcome is unknown is
  // answered once it is known.
  // Beside the routes it knows KeepHostToken and AdmitHost (api/gantry/v1/join.proto).
  void call(const std::string& rpc, const google::protobuf::Message& request, const port::CallOptions& options,
            Answer done) override;

  // Whether the records were read from the store.
  [[nodiscard]] bool ready() const;
  // What the manager knows; changes as the executor runs.
  [[nodiscard]] const View& view() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::control
