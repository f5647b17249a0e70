// One QMP session over a socket on the loop. Answers and events come on the loop's thread; it is used there too.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "qemu/event_io.h"
#include "qemu/qmp_codec.h"

namespace gantry::qemu {

class QmpConnection : public std::enable_shared_from_this<QmpConnection> {
 public:
  struct Handlers {
    QmpCodec::EventHandler on_event;
    // Once, when QEMU is gone or broke the protocol; commands under way were failed before. Not after close().
    std::function<void(const Error& why)> on_closed;
  };
  // `connected` may still wait to be accepted by QEMU.
  static std::shared_ptr<QmpConnection> open(runtime::EventLoop& loop, UniqueFd connected, Handlers handlers);

  // `arguments`: a JSON object's text or empty. Commands given in one turn of the loop leave in one write.
  void execute(std::string_view command, std::string_view arguments, Milliseconds timeout_ms, QmpReply reply);
  void close();

 private:
  QmpConnection(runtime::EventLoop& loop, Handlers handlers);
  void take_bytes(std::string_view bytes);
  void take_end(const Error& why);
  void flush_soon();
  void watch_deadline();

  runtime::EventLoop& loop_;
  Handlers handlers_;
  QmpCodec codec_;
  std::shared_ptr<SocketStream> stream_;
  bool flushing_ = false;
  bool timer_runs_ = false;
  bool ended_ = false;
};

}  // namespace gantry::qemu
