// What a guest has used: of its disks by QEMU's own count, the rest by the kernel's.
#pragma once

#include <sys/types.h>

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "port/metrics.h"

namespace gantry::qemu {

// Of `query-cpus-fast`: the threads that are the guest's processors.
std::vector<pid_t> processor_threads_in(const std::string& reply);
// Of `query-blockstats`: of all its disks together. Nothing: it is not such a reply.
std::optional<port::DiskCounters> disk_counters_in(const std::string& reply);

// Of `qom-get` of a balloon's guest-stats (QEMU's docs/virtio-balloon-stats.txt).
struct GuestMemory {
  // When the guest told it, by the host's clock; 0: never.
  std::uint64_t told_unix = 0;
  // Nothing: the guest does not tell that much.
  std::optional<std::uint64_t> used_bytes = {};
};
// Nothing: it is not such a reply.
std::optional<GuestMemory> guest_memory_in(const std::string& reply);

// Of /proc/PID/schedstat (the kernel's Documentation/scheduler/sched-stats.rst).
struct ThreadTimes {
  double run_seconds = 0;
  double wait_seconds = 0;
};
std::optional<ThreadTimes> times_in(std::string_view schedstat);
// Of /proc/PID/fdinfo/FD of a tap: its interface. Empty: it is none.
std::string_view interface_in(std::string_view fdinfo);

// What the kernel tells of that process and those of its threads; what it does not is left out. Blocks hardly.
port::GuestCounters read_guest_counters(pid_t process, const std::vector<pid_t>& processor_threads);

}  // namespace gantry::qemu
