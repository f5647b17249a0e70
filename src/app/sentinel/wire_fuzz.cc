// Any line: a message or an error.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "app/sentinel/wire.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gantry::sentinel;
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  if (const auto request = parse_request(line)) {
    const auto again = parse_request(to_line(*request));
    if (!again || !(again->wish == request->wish)) std::abort();
  }
  static_cast<void>(parse_answer(line));
  static_cast<void>(parse_handover(line));
  Lines lines;
  static_cast<void>(lines.add(line, [](std::string_view one) { static_cast<void>(parse_request(one)); }));
  return 0;
}
