// The upload format of KERNEL images: an uncompressed tar file (POSIX ustar, as GNU tar and Python write it for short
// names; https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html) with the regular files "kernel" and
// "initramfs", "./" before the names allowed. Only headers are read here; nothing is unpacked by name.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "base/result.h"

namespace gantry::storage {

struct FileRange {
  std::uint64_t offset = 0;
  std::uint64_t size_bytes = 0;
};

struct KernelBundle {
  FileRange kernel;
  FileRange initramfs;
};

inline constexpr std::uint64_t kKernelBytesMax = 512U << 20U;
inline constexpr std::uint64_t kInitramfsBytesMax = 4096ULL << 20U;
inline constexpr std::size_t kBundleEntriesMax = 64;

// Fills the span from that offset; whether all of it was there.
using ReadAt = std::function<bool(std::uint64_t offset, std::span<unsigned char> into)>;

// corrupt (reason "image_corrupt") when it is no such file; both ranges lie within `file_size_bytes`.
Result<KernelBundle> find_in_kernel_bundle(const ReadAt& read_at, std::uint64_t file_size_bytes);

}  // namespace gantry::storage
