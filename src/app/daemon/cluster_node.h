// A machine whose manager shares its store with others (gantryd --store etcd://...): its manager leads or stands by,
// again and again; its host, if it is one, runs all the while and connects to whichever manager leads.
//
// A machine is a host here when it has joined with a token, when its own records say so (it was a manager alone
// before), or when the cluster has no host yet.
#pragma once

#include <signal.h>

#include <memory>
#include <optional>
#include <string>

#include "app/daemon/election.h"
#include "app/daemon/host_role.h"
#include "app/daemon/leading_manager.h"
#include "app/daemon/options.h"
#include "app/daemon/state.h"
#include "base/result.h"
#include "link/grpc_host_link.h"

namespace gantry::app {

class ClusterNode {
 public:
  ClusterNode(const DaemonOptions& options, DaemonState state, const sigset_t& signals);

  // Until a signal comes. `joined`: what this machine keeps of the cluster.
  Result<void> serve(const std::optional<link::HostCredentials>& joined);

 private:
  // Stands by, and leads when it may. True: a signal has come.
  Result<bool> serve_term();
  Result<bool> lead(port::Store& store, runtime::EventLoop& loop, const Election& election);
  // None: a signal has come.
  Result<std::unique_ptr<port::Store>> wait_for_store(KnownLeader& known);
  // Waits for one for a moment.
  [[nodiscard]] bool signal_comes_soon() const;
  // What the first leader, or one that moved here, needs to be a host beside its manager.
  Result<void> ensure_own_host(port::Store& store, const server::JoinPoint& point, const std::string& own_host_id);
  Result<void> begin_host(link::HostCredentials credentials);
  Result<void> offer(std::uint16_t port);
  // Empty: this machine is no host, nor is it to be one.
  [[nodiscard]] Result<std::string> own_host_id(port::Store& store) const;

  DaemonOptions options_;
  const DaemonState state_;
  const sigset_t signals_;
  std::string token_;
  std::string host_id_;
  std::unique_ptr<HostRole> host_;
};

// What a host is to find its managers by, when the options say so (--link-address).
Result<void> use_given_addresses(const DaemonOptions& options, link::HostCredentials& credentials);

}  // namespace gantry::app
