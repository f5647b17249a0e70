// How this machine's processors and memory lie together.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gantry/v1/host.pb.h"

namespace gantry::qemu {

// By number; none where the kernel does not tell.
std::vector<v1::NumaNode> numa_nodes(const std::string& directory = "/sys/devices/system/node");

// How many are in a list as the kernel writes it: "0-3,8".
std::uint32_t count_in(std::string_view cpu_list);

}  // namespace gantry::qemu
