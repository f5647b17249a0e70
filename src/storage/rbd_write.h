// How images come to be in a pool of Ceph. Blocking.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "model/rbd_location.h"
#include "storage/job.h"

namespace gantry::storage::rbd {

Result<void> create_blank(const model::RbdLocation& pool, const std::string& name, std::uint64_t size_bytes);
// Of the snapshot of a finished image.
Result<void> clone_image(const model::RbdLocation& pool, const std::string& image, const std::string& name);
Result<void> grow(const model::RbdLocation& pool, const std::string& name, std::uint64_t size_bytes);

// Copies the content of a qcow2 file of Gantry's own, by way of a raw file in `directory`. What the file holds came
// from outside: `uid` reads it (0: the daemon), and no program that knows Ceph's key does.
Result<void> write_file(const model::RbdLocation& pool, const std::string& qcow2_path, const std::string& directory,
                        std::uint32_t uid, const std::string& name, const Job& job);

}  // namespace gantry::storage::rbd
