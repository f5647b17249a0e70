// The block nodes that QEMU has for a disk: its file, and its format on that.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "port/hypervisor.h"

namespace gantry::qemu {

// As "-blockdev" and "blockdev-add" take them, in this order.
struct DiskNodes {
  nlohmann::ordered_json file;
  nlohmann::ordered_json format;
};

// `node` names that of the format. `direct`: past the host's cache, where its file system does that.
DiskNodes disk_nodes(const std::string& node, const port::GuestDisk& disk, bool direct);
std::string file_node(const std::string& node);
// Blocks.
bool does_direct_io(const std::string& path);

// The node and the device of a guest's disk as it is started with them.
std::string disk_node(std::size_t index);
std::string disk_device(std::size_t index);
// The node that the disk has now, by what "query-block" answered; empty: it is not told.
std::string node_of_disk(const std::string& blocks, std::size_t index);

}  // namespace gantry::qemu
