// A host of a cluster: runs the guests that a manager on another machine assigns to it. No store, no API.
//
// Threads: one loop, and workers for what blocks. Made, started and destroyed on the main thread.
#pragma once

#include <memory>

#include "app/daemon/options.h"
#include "app/daemon/state.h"
#include "base/result.h"
#include "link/grpc_host_link.h"

namespace gantry::app {

class HostRole {
 public:
  static Result<std::unique_ptr<HostRole>> make(const DaemonOptions& options, DaemonState state,
                                                const link::HostCredentials& credentials);
  // Leaves guests running.
  ~HostRole();
  HostRole(const HostRole&) = delete;
  HostRole& operator=(const HostRole&) = delete;

  // Takes guests of an earlier daemon over, connected or not.
  void start();

 private:
  struct Parts;
  explicit HostRole(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
};

}  // namespace gantry::app
