#include "qemu/disk_nodes.h"

#include <fcntl.h>

#include "base/unique_fd.h"
#include "qemu/move_session.h"

namespace gantry::qemu {

using Json = nlohmann::ordered_json;

DiskNodes disk_nodes(const std::string& node, const port::GuestDisk& disk, bool direct) {
  const Json cache = {{"direct", direct}, {"no-flush", false}};
  return {.file = {{"driver", "file"},
                   {"node-name", file_node(node)},
                   {"filename", disk.path},
                   {"locking", "on"},
                   {"read-only", disk.read_only},
                   {"discard", "unmap"},
                   {"cache", cache}},
          .format = {{"driver", disk.format == v1::VolumeSpec::QCOW2 ? "qcow2" : "raw"},
                     {"node-name", node},
                     {"file", file_node(node)},
                     {"read-only", disk.read_only},
                     {"discard", "unmap"},
                     {"detect-zeroes", "off"},
                     {"cache", cache}}};
}

std::string file_node(const std::string& node) { return node + "-file"; }

bool does_direct_io(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC)).valid();
}

std::string disk_node(std::size_t index) { return "disk" + std::to_string(index); }
std::string disk_device(std::size_t index) { return disk_node(index) + "-device"; }

// A device is told by its id, or by its path in QEMU's tree of objects, which has the id in it.
std::string node_of_disk(const std::string& blocks, std::size_t index) {
  const Json all = parse_answer(blocks);
  const std::string device = disk_device(index);
  for (std::size_t i = 0; all.is_array() && i < all.size(); ++i) {
    const std::string told = "/" + text_in(all[i], "qdev") + "/";
    if (told.find("/" + device + "/") == std::string::npos) continue;
    return text_in(member_of(all[i], "inserted"), "node-name");
  }
  return {};
}

}  // namespace gantry::qemu
