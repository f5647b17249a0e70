// Any bytes: parsed or refused, and what is parsed is written and parsed again the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "host/lease_record.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gantry::host;
  const std::string_view block(reinterpret_cast<const char*>(data), size);
  static_cast<void>(unreadable_record(block));
  const auto record = parse_lease_block(block);
  if (!record) return 0;
  const auto again = parse_lease_block(to_block(*record));
  if (!again || *again != *record) std::abort();
  return 0;
}
