// Who watches that a guest runs only while this host holds its lease: a process of its own, which outlives the agent.
//
// Threads: as port::Hypervisor.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "gantry/v1/vm.pb.h"

namespace gantry::port {

struct LeaseWish {
  std::string vm_id;
  // Of the pool that keeps the lease; of a pool of Ceph its location text (model/rbd_location.h).
  std::string directory;
  std::string host_id;
  // The placement's: each is one host's alone.
  std::uint64_t epoch = 1;
  // No other host reaches that pool.
  bool is_private = true;
  // The guest runs or is to be started. Otherwise the lease is signed back when no process of it is left, so that the
  // next start waits for nothing.
  bool hold = false;
  // A process may be here that waits for a guest from another host, and runs none without the lease: it is guarded
  // though the lease is not held.
  bool incoming = false;
  // With `hold`: the host that had the lease said that it signed it over to this one. The guest's process, which is
  // here already, does not run it before the lease is held.
  bool was_given = false;
  // Without `hold`: that host is to have the lease at that epoch, though a process is left here: one whose guest stands
  // and does not go on by itself. It is ended once the lease is given.
  std::string heir = {};
  std::uint64_t heir_epoch = 0;
  // The process that is here stands, does not go on by itself, and gives another host's what it misses of the guest's
  // memory. It is not ended though the lease is another's, and without `hold` let go on if it was frozen.
  bool serves = false;
  // The VM's disks that are images in Ceph: their location texts. Before the lease is taken from a host that was
  // silent, that host's clients are shut out from them.
  std::vector<std::string> images = {};
  // Where some of its disks are is not known yet: nobody can be shut out from those.
  bool lacks_images = false;

  bool operator==(const LeaseWish&) const = default;
};

struct LeaseObservation {
  std::string vm_id;
  v1::LeaseStatus status;
  // Of a lease that is held, or with `incoming`: the file that the hypervisor must guard the guest by
  // (GuestDefinition::guard).
  std::string guard;
  // Told by a program from before guests could move: it guards none that comes, and signs nothing over to others.
  bool moves_nothing = false;
  // Told by a program from before postcopy: it ends a process that serves.
  bool serves_nothing = false;
};

class Sentinel {
 public:
  virtual ~Sentinel() = default;

  // From now on tells each wanted lease's state, and every change.
  virtual void observe(std::function<void(const LeaseObservation&)> observer) = 0;
  // What is wanted of that VM's lease from now on; the last wish counts. Repeats are harmless.
  virtual void want(const LeaseWish& wish) = 0;
  // The VM is gone for good and no process of it is left: removes its lease. Done also when there was none.
  virtual void remove(const LeaseWish& wish, std::function<void(Result<void>)> done) = 0;
};

}  // namespace gantry::port
