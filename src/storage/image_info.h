// What `qemu-img info` and `qemu-img measure` say, as --output=json. The text is made from an untrusted file's content.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gantry::storage {

struct ImageInfo {
  std::string format;
  std::uint64_t virtual_size_bytes = 0;
  std::uint64_t allocation_bytes = 0;
  std::string backing_file;
  std::string data_file;
  // vmdk: every file its content lies in.
  std::vector<std::string> extents;
  bool encrypted = false;
  // It was marked so when QEMU last found it damaged.
  bool corrupt = false;
};

inline constexpr std::size_t kImageInfoBytesMax = 1U << 20U;

// corrupt when it is no such answer.
Result<ImageInfo> parse_image_info(std::string_view json);

// The bytes the converted file will take at most.
Result<std::uint64_t> parse_measured_bytes(std::string_view json);

}  // namespace gantry::storage
