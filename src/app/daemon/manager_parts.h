// What a manager is made with, whichever store it has and whether a host is in the same process.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "app/daemon/options.h"
#include "control/manager.h"
#include "server/api_server.h"

namespace gantry::app {

// `seed`: another one for each manager that was ever made over one store.
control::ManagerOptions manager_options(const DaemonOptions& options, std::uint64_t seed,
                                        std::set<std::string> own_hosts, port::SampleSink* samples);
// Where what was measured is kept.
std::string metrics_directory(const DaemonOptions& options);

struct ApiParts {
  std::string local_token;
  // The host of this machine; empty: there is none.
  std::string own_host_id;
  std::optional<server::JoinPoint> join_point;
};
server::ApiServerOptions api_options(const DaemonOptions& options, port::Manager& manager, ApiParts parts);

// Where the certificate that clients see lies, and its key.
std::string certificate_path(const DaemonOptions& options);
std::string key_path(const DaemonOptions& options);

}  // namespace gantry::app
