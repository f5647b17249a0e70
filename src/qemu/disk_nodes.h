// The block nodes that QEMU has for a disk: what it lies in, a file or an image of Ceph, and its format on that.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/ceph_client.h"
#include "port/hypervisor.h"

namespace gantry::qemu {

// How QEMU is to reach what a disk lies in.
struct DiskAccess {
  // Past the host's cache, where its file system does that.
  bool direct = false;
  // Of an image of Ceph. QEMU's user can read none of the host's files on it: all that it needs is told it.
  std::vector<model::CephMonitor> monitors = {};
  // The user's key: QEMU has it as the secret that is named key_secret(). Never in a command line.
  std::string key = {};
};

// Blocks. What cannot be known of a file is left at its default. unavailable where the host's configuration for Ceph is
// not there.
Result<DiskAccess> find_access(const port::GuestDisk& disk);

// As "-blockdev" and "blockdev-add" take them, in this order.
struct DiskNodes {
  nlohmann::ordered_json file;
  nlohmann::ordered_json format;
};

// `node` names that of the format.
DiskNodes disk_nodes(const std::string& node, const port::GuestDisk& disk, const DiskAccess& access);
std::string file_node(const std::string& node);
// Of a disk in Ceph: to be made before its nodes.
std::string key_secret(const std::string& node);

// The node and the device of a guest's disk as it is started with them.
std::string disk_node(std::size_t index);
std::string disk_device(std::size_t index);
// The node that the disk has now, by what "query-block" answered; empty: it is not told.
std::string node_of_disk(const std::string& blocks, std::size_t index);

}  // namespace gantry::qemu
