#include <algorithm>
#include <cstddef>
#include <cstdlib>

#include "storage/kernel_bundle.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::span<const unsigned char> file(data, size);
  const auto read_at = [&](std::uint64_t offset, std::span<unsigned char> into) {
    if (offset > file.size() || into.size() > file.size() - offset) return false;
    std::copy_n(file.begin() + static_cast<std::ptrdiff_t>(offset), into.size(), into.begin());
    return true;
  };
  const auto bundle = gantry::storage::find_in_kernel_bundle(read_at, size);
  if (!bundle) return 0;
  for (const auto& range : {bundle->kernel, bundle->initramfs}) {
    if (range.offset > size || range.size_bytes > size - range.offset) std::abort();
  }
  return 0;
}
