#include <cstddef>

#include "storage/image_info.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)gantry::storage::parse_image_info(text);
  (void)gantry::storage::parse_measured_bytes(text);
  return 0;
}
