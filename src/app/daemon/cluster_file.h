// What a machine that joined a cluster keeps of it: one file that only root can read, written whole or not at all.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "link/grpc_host_link.h"

namespace gantry::app {

std::string cluster_path(const std::string& state_directory);

// Nothing when this machine is no host of a cluster. corrupt when the file is there but cannot be understood.
Result<std::optional<link::HostCredentials>> read_cluster(const std::string& state_directory);
Result<void> write_cluster(const std::string& state_directory, const link::HostCredentials& credentials);

}  // namespace gantry::app
