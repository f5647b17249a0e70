#include <cstdlib>

#include "storage/image_header.h"

using gantry::storage::kTrailerBytes;
using gantry::storage::probe_image_header;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::span<const unsigned char> all(data, size);
  const auto header = probe_image_header(all, all.last(size < kTrailerBytes ? 0 : kTrailerBytes));
  // What is no image at all must never be said to point somewhere.
  if (header && header->format == gantry::storage::ImageFormat::raw && header->has_outside_data) std::abort();
  return 0;
}
