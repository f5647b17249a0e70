// Has the kernel end connections of another process when their other end is silent: without that, TCP waits for a
// quarter of an hour, and so does whoever reads.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "base/time.h"

namespace gantry::qemu {

// Those from or to that port (0: any that moves use), on whatever addresses: the process finds that its peer is gone
// once nothing was heard from its host for `silence_ms`, nor anything taken that is sent. `pidfd` is the process, `pid`
// its number. Needs the right to trace it (pidfd_getfd(2)). That it has none is no error.
Result<void> limit_silence(int pidfd, int pid, std::uint32_t port, Milliseconds silence_ms);

}  // namespace gantry::qemu
