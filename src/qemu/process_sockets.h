// The connections of another process, from outside.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"

namespace gantry::qemu {

// One end of a TCP connection; with numbers.
struct SocketEnd {
  std::string host;
  std::string port;
};

// Each TCP socket of that process which is connected: its own end, the other, and a descriptor of it, good until the
// call returns. `pidfd` is the process, `pid` its number. Needs the right to trace it (pidfd_getfd(2)); `what` names
// the intention in an error.
Result<void> for_each_connection(
    int pidfd, int pid, const std::string& what,
    const std::function<void(int socket, const SocketEnd& own, const SocketEnd& peer)>& take);

}  // namespace gantry::qemu
