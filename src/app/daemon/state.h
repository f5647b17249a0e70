// What the daemon keeps beside its records: who this host is, how often its agent was started, and the lock that lets
// only one daemon use a state directory.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace gantry::app {

struct DaemonState {
  UniqueFd lock;
  std::string host_id;
  // One more than at the last start.
  std::uint64_t incarnation = 0;
  // Of the manager's ids: random at each start.
  std::uint64_t seed = 0;
};

// Makes the directory when needed. conflict when another daemon holds it.
Result<DaemonState> open_state(const std::string& directory);

// Random bytes of the system in hexadecimal.
Result<std::string> random_hex(std::size_t bytes);

}  // namespace gantry::app
