// What runs guests on this machine, wired: hypervisor, storage, networks and facts over one loop. The same in every
// role.
//
// Made and destroyed on the main thread; the loop runs on a thread of its own between start() and stop().
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "app/daemon/options.h"
#include "app/daemon/state.h"
#include "app/sentinel/client.h"
#include "base/result.h"
#include "host/host_core.h"
#include "network/host_network.h"
#include "qemu/accelerator.h"
#include "qemu/cgroup.h"
#include "qemu/console_hub.h"
#include "qemu/host_facts.h"
#include "qemu/hypervisor.h"
#include "runtime/event_loop.h"
#include "runtime/worker_pool.h"
#include "storage/host_storage.h"

namespace gantry::app {

// Makes the directories that a machine keeps its things in.
Result<void> make_machine_directories(const DaemonOptions& options);

struct Machine {
  // `address` tells where other hosts reach this one; it is asked on workers.
  Machine(const DaemonOptions& options, std::function<std::string()> address);
  // Stops.
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  void start();
  // Harmless when repeated.
  void stop();
  // For a HostCore of this machine.
  [[nodiscard]] host::Ports ports(port::HostLink& link);

  // In the order of making; destroyed the other way round.
  runtime::EventLoop loop;
  qemu::AcceleratorChoice accelerator;
  qemu::Cgroups cgroups;
  runtime::WorkerPool quick;
  // Its own: a file system that hangs takes them all, and guests on others are still to be killed and given networks.
  runtime::WorkerPool storage_quick;
  runtime::WorkerPool storage_slow;
  // And their own for shared pools: these hang more often, with their server, and not with this machine.
  runtime::WorkerPool shared_storage_quick;
  runtime::WorkerPool shared_storage_slow;
  qemu::ConsoleHub consoles;
  qemu::QemuHypervisor hypervisor;
  qemu::MachineFacts facts;
  storage::HostStorage storage;
  network::HostNetwork network;
  sentinel::Client sentinel;
  std::thread thread;
};

// Who a machine is to its manager.
struct HostIdentity {
  std::string id;
  std::string name;
  std::uint64_t incarnation = 0;
};

host::Options host_options(const DaemonOptions& options, HostIdentity identity);

// Where the machine's networks keep their files.
std::string network_directory(const DaemonOptions& options);

// Where a machine keeps what reaches pools of Ceph.
std::string ceph_directory(const DaemonOptions& options);

// Where a machine's first pool lies.
std::string default_pool_path(const DaemonOptions& options);

}  // namespace gantry::app
