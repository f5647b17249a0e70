// Tells from a file's first and last bytes which format it is in and whether it points at other files, before any
// program that would follow such a pointer opens it. Nothing is trusted: a wrong or cut header is an answer, not a
// crash. Sources: QEMU's docs/interop/qcow2.txt; block/vmdk.c; block/vdi.c; block/vpc.c; MS-VHDX section 2.2.1.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"

namespace gantry::storage {

enum class ImageFormat { raw, qcow2, vmdk, vdi, vhdx, vpc };

// As `qemu-img -f` takes it.
std::string_view to_string(ImageFormat format);

// As many bytes of the file's beginning as the probe wants to see, and of its end.
inline constexpr std::size_t kHeaderBytes = 4096;
inline constexpr std::size_t kTrailerBytes = 512;

struct ImageHeader {
  ImageFormat format = ImageFormat::raw;
  bool has_backing_file = false;
  // qcow2: an external data file; vmdk: extents in other files.
  bool has_outside_data = false;
  bool encrypted = false;
  // qcow2 only.
  std::optional<std::uint64_t> virtual_size_bytes = {};
};

// `head`: the first bytes of the file (fewer when it is shorter), `tail`: its last (may be empty). unsupported for a
// format that is known and not read.
Result<ImageHeader> probe_image_header(std::span<const unsigned char> head, std::span<const unsigned char> tail);

}  // namespace gantry::storage
