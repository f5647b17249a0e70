// The manager's link to hosts on other machines, as the daemon's options want it.
#pragma once

#include <string>
#include <vector>

#include "app/daemon/options.h"
#include "base/result.h"
#include "control/manager.h"
#include "link/grpc_manager_link.h"
#include "port/store.h"
#include "server/api_server.h"

namespace gantry::app {

// Listens for hosts, and says what tokens are to tell them. While the manager's loop runs, not on its thread.
Result<server::JoinPoint> listen_for_hosts(const DaemonOptions& options, port::Store& store, port::Manager& manager,
                                           link::GrpcManagerLink& link);

// Where hosts reach this machine's link: as the options say, or every address of this machine that others can reach
// (none, while its network is not up).
Result<std::vector<std::string>> announced_addresses(const DaemonOptions& options, std::uint16_t port);

// The first of those that is an IPv4 address; empty: there is none, or no link.
std::string own_link_address(const DaemonOptions& options);

}  // namespace gantry::app
