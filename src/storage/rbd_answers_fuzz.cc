#include <cstddef>

#include "storage/rbd_answers.h"
#include "storage/rbd_tools.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)gantry::storage::rbd::parse_image(text);
  (void)gantry::storage::rbd::parse_used_bytes(text);
  (void)gantry::storage::rbd::parse_names(text);
  (void)gantry::storage::rbd::parse_snapshots(text);
  (void)gantry::storage::rbd::parse_pool(text, "vms");
  (void)gantry::storage::rbd::words_of(text);
  return 0;
}
