// The stores that the options name.
#pragma once

#include <memory>

#include "app/daemon/options.h"
#include "base/result.h"
#include "port/store.h"

namespace gantry::app {

// Of one machine alone: a file in the state directory.
Result<std::unique_ptr<port::Store>> open_file_store(const DaemonOptions& options);
// That managers share: etcd. unavailable when no node answers within some seconds; the same again may then help.
Result<std::unique_ptr<port::Store>> open_cluster_store(const DaemonOptions& options);

}  // namespace gantry::app
