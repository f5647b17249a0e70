// Looks at an untrusted image file before it is used: what it is, and that it stands alone. Blocking.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "storage/image_header.h"

namespace gantry::storage {

struct CheckedImage {
  ImageFormat format = ImageFormat::raw;
  std::uint64_t virtual_size_bytes = 0;
  // What it takes at most as a qcow2 file.
  std::uint64_t converted_bytes = 0;
};

// `uid` must be able to read the file; qemu-img runs as it (0: as the daemon). Fails with the reasons
// "image_refers_outside", "image_corrupt", "image_encrypted" or "image_unsupported".
Result<CheckedImage> check_image(const std::string& path, std::uint32_t uid);

}  // namespace gantry::storage
