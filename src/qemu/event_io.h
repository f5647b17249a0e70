// The little of asynchronous I/O that this room needs, so that Asio's headers stay in one source file.
//
// Threads: everything is used on the loop's thread, and handlers are called there. The loop outlives all of it.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace gantry::runtime {
class EventLoop;
}

namespace gantry::qemu {

// A connected Unix stream socket. Ends with the last reference, silently.
class SocketStream {
 public:
  struct Handlers {
    std::function<void(std::string_view bytes)> on_bytes;
    // Once, when the peer is gone; not after close().
    std::function<void()> on_closed;
  };
  virtual ~SocketStream() = default;
  // Queued without limit: see unsent().
  virtual void send(std::string_view bytes) = 0;
  [[nodiscard]] virtual std::size_t unsent() const = 0;
  // No handler is called any more.
  virtual void close() = 0;
};

std::shared_ptr<SocketStream> open_stream(runtime::EventLoop& loop, UniqueFd connected,
                                          SocketStream::Handlers handlers);

// Calls back once when a descriptor (a pidfd: its process has ended) becomes readable. Ends when destroyed.
class ReadableWatch {
 public:
  virtual ~ReadableWatch() = default;
};

std::unique_ptr<ReadableWatch> watch_readable(runtime::EventLoop& loop, UniqueFd descriptor,
                                              std::function<void()> on_readable);

// A listening socket at `path` for the daemon's user alone; what was there is replaced. Blocks only for the file
// system.
Result<UniqueFd> listen_unix(const std::string& path);
// Does not wait: a listener that nobody serves yet takes the connection all the same.
Result<UniqueFd> connect_unix(const std::string& path);

}  // namespace gantry::qemu
