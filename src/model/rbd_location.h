// Where a pool of Ceph is, or an image in one, in one line: what stands where a `dir` pool has a path.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace gantry::model {

struct RbdLocation {
  // Ceph's user, without "client.".
  std::string user;
  std::string pool;
  // Empty: none.
  std::string name_space;
  // Of a pool: empty.
  std::string image;
  // An absolute path on this host: the file that names the monitors and the user's key ring, as librados reads it.
  std::string configuration;

  bool operator==(const RbdLocation&) const = default;
};

// What may name a user, a pool, a namespace or an image: letters, digits, "-", "_" and "."; 1 to 128 of them.
bool is_rbd_name(std::string_view text);

// "rbd:USER@POOL/NAMESPACE/IMAGE:CONFIGURATION".
std::string to_text(const RbdLocation& location);
// Nothing: it is none, as every path is none.
std::optional<RbdLocation> rbd_location(std::string_view text);

}  // namespace gantry::model
