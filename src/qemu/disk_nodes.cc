#include "qemu/disk_nodes.h"

#include <fcntl.h>

#include <utility>

#include "base/unique_fd.h"
#include "model/rbd_location.h"
#include "qemu/move_session.h"
#include "runtime/files.h"

namespace gantry::qemu {

using Json = nlohmann::ordered_json;

namespace {

// The one with this ending beside a pool's configuration (port/storage.h).
Result<std::string> read_beside(const model::RbdLocation& image, const char* suffix) {
  const std::string stem = image.configuration.substr(0, image.configuration.rfind('.'));
  auto text = runtime::read_file(stem + suffix, 1U << 20U);
  if (text) return text;
  return fail(ErrorCode::unavailable, "cannot reach image " + image.image + " in Ceph",
              text.error().summary + ": " + text.error().cause, "it is tried again once its pool was looked at",
              "pool_unusable");
}

bool direct_io(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC)).valid();
}

// With a port each, as QEMU wants them: the two that monitors have by default where none is given.
Json servers(const std::vector<model::CephMonitor>& monitors) {
  Json all = Json::array();
  const auto add = [&all](const std::string& host, std::uint32_t port) {
    all.push_back({{"host", host}, {"port", std::to_string(port)}});
  };
  for (const model::CephMonitor& monitor : monitors) {
    if (monitor.port != 0) {
      add(monitor.host, monitor.port);
    } else {
      add(monitor.host, 3300);
      add(monitor.host, 6789);
    }
  }
  return all;
}

// An empty configuration: nothing of another Ceph that this machine may be a client of is to be found.
Json image_node(const std::string& node, const model::RbdLocation& image, const DiskAccess& access) {
  Json json = {{"driver", "rbd"}, {"node-name", file_node(node)}, {"pool", image.pool}};
  if (!image.name_space.empty()) json["namespace"] = image.name_space;
  json["image"] = image.image;
  json["conf"] = "/dev/null";
  json["user"] = image.user;
  json["key-secret"] = key_secret(node);
  json["server"] = servers(access.monitors);
  return json;
}

}  // namespace

Result<DiskAccess> find_access(const port::GuestDisk& disk) {
  const auto image = model::rbd_location(disk.path);
  if (!image) return DiskAccess{.direct = direct_io(disk.path)};
  const auto configuration = read_beside(*image, ".conf");
  if (!configuration) return fail(configuration.error());
  const auto key_ring = read_beside(*image, ".keyring");
  if (!key_ring) return fail(key_ring.error());
  auto key = model::find_ceph_key(*key_ring, image->user);
  if (!key)
    return fail(ErrorCode::corrupt, "cannot reach image " + image->image + " in Ceph", "its key ring has no key");
  return DiskAccess{.direct = true, .monitors = model::monitors_in(*configuration), .key = std::move(*key)};
}

DiskNodes disk_nodes(const std::string& node, const port::GuestDisk& disk, const DiskAccess& access) {
  const Json cache = {{"direct", access.direct}, {"no-flush", false}};
  const auto image = model::rbd_location(disk.path);
  Json file =
      image ? image_node(node, *image, access)
            : Json{{"driver", "file"}, {"node-name", file_node(node)}, {"filename", disk.path}, {"locking", "on"}};
  file["read-only"] = disk.read_only;
  file["discard"] = "unmap";
  file["cache"] = cache;
  return {.file = std::move(file),
          .format = {{"driver", disk.format == v1::VolumeSpec::QCOW2 ? "qcow2" : "raw"},
                     {"node-name", node},
                     {"file", file_node(node)},
                     {"read-only", disk.read_only},
                     {"discard", "unmap"},
                     {"detect-zeroes", "off"},
                     {"cache", cache}}};
}

std::string file_node(const std::string& node) { return node + "-file"; }

std::string key_secret(const std::string& node) { return node + "-key"; }

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
