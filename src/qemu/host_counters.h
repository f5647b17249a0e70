// What this machine has used, as Linux counts it. The texts are the kernel's (proc(5), its Documentation/admin-guide/
// iostats.rst).
#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "port/metrics.h"

namespace gantry::qemu {

// Reads all of it; blocks for the kernel alone.
port::HostCounters read_host_counters();

// Of /proc/stat. Nothing: it is not like that.
std::optional<port::HostCounters::Processors> processors_in(std::string_view stat, double ticks_per_second);
// Of /proc/meminfo, into `counters`.
void take_memory(std::string_view meminfo, port::HostCounters& counters);
// Of /proc/diskstats: of those disks together. Nothing: none is there.
std::optional<port::DiskCounters> disks_in(std::string_view diskstats,
                                           const std::function<bool(std::string_view name)>& counts);
// Of /proc/net/dev: of those interfaces together. Nothing: none is there.
std::optional<port::NetworkCounters> interfaces_in(std::string_view net_dev,
                                                   const std::function<bool(std::string_view name)>& counts);

}  // namespace gantry::qemu
