// Who leads among the managers that share a store. One record says it, under a lease of the store: who makes it leads,
// and as long as it keeps the lease alive nobody else can make it. Everybody else watches, and tries when it is gone.
//
// Nothing is safe by the lease's time alone: whoever leads must compare that very record (`fence`) in each transaction
// (store/fenced_store.h). The lease only decides how soon another may take over.
//
// Threads: everything on the executor's, events too.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/time.h"
#include "gantry/v1/leader.pb.h"
#include "port/executor.h"
#include "port/store.h"

namespace gantry::control {

// Where that record stands.
std::string leader_key();

struct LeadershipOptions {
  // What others are told; its time is filled in.
  v1::Leader self;
  // How long nobody leads after a leader has died. A store may make it longer: etcd gives a lease its whole time again,
  // and a second, when it has lost its own leader on the same machine.
  Milliseconds lease_ms = 2'000;
  // The lease is kept alive, and the record looked at, so often.
  Milliseconds period_ms = 500;
  // A leader that the store does not answer for so long gives up: others may lead, and hosts should look for them.
  Milliseconds silence_ms = 5'000;
};

struct LeadershipEvents {
  std::function<void(port::Compare fence)> leads;
  // Once, after `leads`; nothing follows.
  std::function<void(const std::string& why)> lost;
  // While it does not lead, whenever that changes: who does, or why that is not known.
  std::function<void(const std::optional<v1::Leader>& leader, const std::string& trouble)> stands_by;
};

class Leadership {
 public:
  // Both must outlive it.
  Leadership(port::Store& store, port::Executor& executor, LeadershipOptions options, LeadershipEvents events);
  // No event follows; a lease that is held ends by itself. On the executor's thread, or while it does not run.
  ~Leadership();
  Leadership(const Leadership&) = delete;
  Leadership& operator=(const Leadership&) = delete;

  void start();
  // Gives it up so that another can lead at once; no event follows. `done` when the store has answered.
  void resign(std::function<void()> done);

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::control
