// Ends connections of another process from outside. QEMU keeps its lock while it shakes hands with, or writes the last
// of a guest to, a peer that does not answer: for as long as TCP takes to give up it answers nobody and its guest
// stands.
#pragma once

#include <set>
#include <string>

#include "base/result.h"

namespace gantry::qemu {

// Those to these ports of `host`, an IP address: the process then finds that its peer is gone. `pidfd` is the process,
// `pid` its number. Needs the right to trace it (pidfd_getfd(2)). That it has none is no error.
Result<void> break_connections(int pidfd, int pid, const std::string& host, const std::set<std::uint32_t>& ports);

}  // namespace gantry::qemu
