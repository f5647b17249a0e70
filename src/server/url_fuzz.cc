// Targets of requests: whatever comes, a decoded target is UTF-8 and survives encoding.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "model/utf8.h"
#include "server/request_headers.h"
#include "server/url.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gantry::server;
  const std::string text(reinterpret_cast<const char*>(data), size);
  (void)parse_if_match(text);
  (void)names_revision(text, 1);
  (void)parse_idempotency_key(text);
  (void)parse_last_event_id(text, 0);
  const auto target = parse_target(text);
  if (!target) return 0;
  for (const std::string& segment : target->segments) {
    if (!gantry::model::is_utf8(segment)) std::abort();
    const auto again = percent_decode(percent_encode(segment), false);
    if (!again || *again != segment) std::abort();
  }
  return 0;
}
