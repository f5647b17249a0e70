// What a client of Ceph is told in files: the configuration that librados reads, which names the monitors, and the key
// ring beside it. Written by the storage driver; read again by whoever reaches Ceph without librados' own files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gantry/v1/storage.pb.h"

namespace gantry::model {

struct CephMonitor {
  // An IP address.
  std::string host;
  // 0: those that every monitor has, 3300 and 6789.
  std::uint32_t port = 0;

  bool operator==(const CephMonitor&) const = default;
};

// "10.0.0.1", "10.0.0.1:6789", "fd00::1", "[fd00::1]:3300".
std::optional<CephMonitor> parse_ceph_monitor(std::string_view text);

// As `ceph auth get-key` prints it: base64.
bool is_ceph_key(std::string_view text);

// The key in a file that `ceph auth get-key` or `ceph auth get` printed: alone, or in a key ring beside that user's
// name. Nothing: there is none, or it is no key.
std::optional<std::string> find_ceph_key(std::string_view text, std::string_view user);

std::string ceph_configuration(const v1::RbdPool& pool, std::string_view key_ring_path);
std::string ceph_key_ring(const v1::RbdPool& pool);

// Those that a configuration names, as ceph_configuration() writes them.
std::vector<CephMonitor> monitors_in(std::string_view configuration);

}  // namespace gantry::model
