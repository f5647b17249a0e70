// The host agent's decisions: makes what runs and lies on this machine what the manager's assignments ask for, and
// tells the manager what is. Everything it knows comes from the ports, so that a new HostCore over the same hypervisor,
// storage and network goes on where a crashed one stopped.
//
// What it tells of operations, so that every task ends:
// * A VM's start that cannot be done: FAILED with failed_operation_id = spec.boot_id. A reset: failed_operation_id =
//   spec.reset_id while the guest runs on. A boot that is over is told by status.boot_id and status.exit.
// * Volumes, images and networks that cannot be made as their spec asks: FAILED with `problem` and, for volumes,
//   observed_generation. They are tried again with the next change of their spec, and with the next boot that needs
//   them.
// * A deletion that cannot be done now: `problem`, and it goes on trying; where trying again is of little use also
// FAILED
//   with failed_operation_id = meta.deletion.task_id.
// * `problem` without FAILED: it is being tried again.
//
// Threads: all methods and all callbacks of its ports on the executor.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "port/disk_copy.h"
#include "port/executor.h"
#include "port/hypervisor.h"
#include "port/link.h"
#include "port/metrics.h"
#include "port/move.h"
#include "port/network.h"
#include "port/sentinel.h"
#include "port/storage.h"

namespace gantry::host {

// None is owned; all must outlive the HostCore.
struct Ports {
  port::Executor& executor;
  port::HostLink& link;
  port::Hypervisor& hypervisor;
  port::Mover& mover;
  port::DiskCopier& copier;
  port::HostFacts& facts;
  port::Storage& storage;
  port::Network& network;
  port::Sentinel& sentinel;
  port::Meters& meters;
};

struct Options {
  std::string host_id;
  std::string host_name;
  // Grows with each start of the agent; the caller keeps the counter on the host's disk.
  std::uint64_t incarnation = 1;
  // For VMs that do not say how long their guest has to power off.
  std::uint32_t stop_timeout_seconds = 60;
  // What images can be built by here, in order.
  std::vector<std::string> recipes = {};
  // Where the storage keeps what reaches Ceph, absolute: a pool's configuration is POOL_ID.conf there.
  std::string ceph_directory = "/var/lib/gantry/ceph";
  // One line each; may be empty.
  std::function<void(std::string_view)> log = {};
};

class Core;

class HostCore {
 public:
  HostCore(const Ports& ports, Options options);
  // Answers of ports that come later are dropped. Guests go on.
  ~HostCore();
  HostCore(const HostCore&) = delete;
  HostCore& operator=(const HostCore&) = delete;

  // Once: observes the hypervisor and takes part in the link.
  void start();

 private:
  std::shared_ptr<Core> core_;
};

}  // namespace gantry::host
