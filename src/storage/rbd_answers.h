// What Ceph's programs answer, as --format json.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gantry::storage::rbd {

struct ImageAnswer {
  // Ceph's own, which outlives a new name.
  std::string id;
  std::uint64_t size_bytes = 0;
};

// All below: corrupt when it is no such answer.

// `rbd info`.
Result<ImageAnswer> parse_image(std::string_view json);
// `rbd du` of one image: what it takes with its snapshots, without what stands on them.
Result<std::uint64_t> parse_used_bytes(std::string_view json);
// `rbd ls`.
Result<std::vector<std::string>> parse_names(std::string_view json);

struct SnapshotAnswer {
  std::string name;
  bool is_protected = false;
};

// `rbd snap ls`.
Result<std::vector<SnapshotAnswer>> parse_snapshots(std::string_view json);

struct PoolAnswer {
  // Without what Ceph keeps to be safe.
  std::uint64_t stored_bytes = 0;
  std::uint64_t available_bytes = 0;
};

// `ceph df`; not_found when it does not tell of that pool.
Result<PoolAnswer> parse_pool(std::string_view json, const std::string& pool);

}  // namespace gantry::storage::rbd
