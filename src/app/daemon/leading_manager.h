// The manager of a cluster, for as long as it leads: API, decisions and host link over the shared store, behind the
// fence of its leadership. No host is in it: this machine's, if it is one, connects as all others do.
//
// Threads: as AllInOne.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "app/daemon/all_in_one.h"
#include "app/daemon/options.h"
#include "base/result.h"
#include "port/console.h"
#include "port/store.h"
#include "runtime/event_loop.h"
#include "server/api_server.h"

namespace gantry::app {

class LeadingManager {
 public:
  // Both must outlive it; `loop`, which it runs, the store too: that still answers when this has ended. `own_host_id`:
  // of this machine; empty when it is no host.
  LeadingManager(const DaemonOptions& options, runtime::EventLoop& loop, port::Store& store, const port::Compare& fence,
                 std::uint64_t seed, const std::string& own_host_id);
  // Decides nothing any more, then ends.
  ~LeadingManager();
  LeadingManager(const LeadingManager&) = delete;
  LeadingManager& operator=(const LeadingManager&) = delete;

  [[nodiscard]] const std::string& own_host_id() const;
  // First it listens for hosts, then for clients. `consoles` must outlive it.
  Result<server::JoinPoint> listen();
  Result<AllInOneStarted> serve(port::Console& consoles, const std::string& local_token, server::JoinPoint point);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace gantry::app
