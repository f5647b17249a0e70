// A host of a cluster: runs the guests that a manager on another machine assigns to it. No store, no API.
//
// Threads: one loop, and workers for what blocks. Made, started and destroyed on the main thread.
#pragma once

#include <cstdint>
#include <memory>

#include "app/daemon/options.h"
#include "base/result.h"
#include "link/grpc_host_link.h"
#include "port/console.h"

namespace gantry::app {

class HostRole {
 public:
  // Of the daemon's state, `incarnation`.
  static Result<std::unique_ptr<HostRole>> make(const DaemonOptions& options, std::uint64_t incarnation,
                                                const link::HostCredentials& credentials);
  // Leaves guests running.
  ~HostRole();
  HostRole(const HostRole&) = delete;
  HostRole& operator=(const HostRole&) = delete;

  // Takes guests of an earlier daemon over, connected or not.
  void start();
  // Of its guests.
  port::Console& consoles();

 private:
  struct Parts;
  explicit HostRole(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
};

}  // namespace gantry::app
