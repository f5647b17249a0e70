// Any bytes from QEMU, in pieces of any size, between commands and the passing of time.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "qemu/qmp_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using gantry::qemu::QmpCodec;
  std::string bytes(data, data + size);
  gantry::Now now;
  std::size_t answered = 0;
  std::size_t given = 0;
  {
    QmpCodec codec([](const gantry::qemu::QmpEvent& event) { gantry::qemu::json_member(event.data, "reason"); }, now,
                   1000, 4096);
    std::size_t at = 0;
    while (at < bytes.size()) {
      const auto choice = static_cast<std::size_t>(data[at]);
      const std::size_t piece = std::min(bytes.size() - at, choice % 61 + 1);
      if (choice % 3 == 0) {
        ++given;
        codec.execute("query-status", "{}", 50, now, [&](const gantry::Result<std::string>& reply) {
          ++answered;
          if (reply) gantry::qemu::json_member(*reply, "status");
        });
      }
      now.monotonic_ms += 7;
      codec.expire(now);
      if (codec.next_deadline_ms() && *codec.next_deadline_ms() < now.monotonic_ms) __builtin_trap();
      if (!codec.feed(std::string_view(bytes).substr(at, piece))) break;
      codec.take_output();
      at += piece;
    }
    codec.close({gantry::ErrorCode::cancelled, "end"});
  }
  if (answered != given) __builtin_trap();
  return 0;
}
