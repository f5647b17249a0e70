// QEMU's machine protocol (QMP) without I/O: bytes in, bytes out, replies by id, events in order.
// Protocol: https://www.qemu.org/docs/master/interop/qmp-spec.html (docs/interop/qmp-spec.txt of QEMU 7.2).
//
// Threads: none of its own; to be used from one thread. Handlers are called from within feed(), expire() and close()
// and may call execute().
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace gantry::qemu {

struct QmpEvent {
  std::string name;
  // A JSON object, "{}" when the event has no data.
  std::string data;
};

// The JSON text of the command's "return", or why there is none.
using QmpReply = std::function<void(Result<std::string>)>;

class QmpCodec {
 public:
  using EventHandler = std::function<void(const QmpEvent&)>;

  // More unread input than `bytes_max` ends the session; there is no other limit to a line's length. What we ask for is
  // answered in some KiB for each disk. Parsed, what a hostile QEMU may send takes twenty times its length.
  static constexpr std::size_t kBytesMax = std::size_t{1} << 20U;

  // Commands that wait for their answers; more are refused with unavailable.
  static constexpr std::size_t kPendingMax = 100;

  // The greeting and the capabilities must have been exchanged within `handshake_timeout_ms`.
  QmpCodec(EventHandler on_event, const Now& now, Milliseconds handshake_timeout_ms, std::size_t bytes_max = kBytesMax);
  QmpCodec(const QmpCodec&) = delete;
  QmpCodec& operator=(const QmpCodec&) = delete;

  // Commands given before the greeting are sent right after it. `arguments` is a JSON object or empty. Answered once:
  // by QEMU, by timed_out at the deadline, or by the session's end. A reply after the deadline is ignored, and so is
  // one to a command of an earlier session, which QEMU sends to whoever is connected then: ids begin with the time.
  void execute(std::string_view command, std::string_view arguments, Milliseconds timeout_ms, const Now& now,
               QmpReply reply);

  // What QEMU sent, in pieces of any size. An error ends the session: all commands under way were failed with it.
  Result<void> feed(std::string_view bytes);
  // Fails what is over its deadline.
  void expire(const Now& now);
  // Of the command that is due first, in monotonic milliseconds.
  [[nodiscard]] std::optional<Milliseconds> next_deadline_ms() const;
  // Bytes to send to QEMU, once.
  std::string take_output();
  // Fails all commands under way and refuses further ones.
  void close(const Error& why);

  [[nodiscard]] bool ready() const { return ready_; }
  // A failed handshake, a breach of the protocol or close().
  [[nodiscard]] bool closed() const { return closed_.has_value(); }

 private:
  struct Pending {
    std::string command;
    Milliseconds deadline_ms;
    QmpReply reply;
  };

  Result<void> take_line(std::string_view line);
  void take_reply(std::uint64_t id, Result<std::string> value);

  EventHandler on_event_;
  std::size_t bytes_max_;
  std::string input_;
  // Sent only after the greeting.
  std::string held_output_;
  std::string output_;
  std::map<std::uint64_t, Pending> pending_;
  std::uint64_t next_id_;
  bool greeted_ = false;
  bool ready_ = false;
  std::optional<Error> closed_;
};

// The string (or boolean as "true"/"false", or number) at `key` of a JSON object's text; nothing when it is not there.
std::optional<std::string> json_member(std::string_view object, std::string_view key);

// `text` as a JSON string with its quotes; bytes that are not UTF-8 are replaced.
std::string json_quote(std::string_view text);

}  // namespace gantry::qemu
