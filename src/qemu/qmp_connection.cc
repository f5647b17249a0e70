#include "qemu/qmp_connection.h"

#include <algorithm>
#include <utility>

#include "runtime/event_loop.h"

namespace gantry::qemu {
namespace {

constexpr Milliseconds kHandshakeTimeoutMs = 30'000;
// Of commands that QEMU does not read.
constexpr std::size_t kUnsentMax = 256U << 10U;

}  // namespace

QmpConnection::QmpConnection(runtime::EventLoop& loop, Handlers handlers)
    : loop_(loop),
      handlers_(std::move(handlers)),
      codec_(
          [this](const QmpEvent& event) {
            if (!ended_ && handlers_.on_event) handlers_.on_event(event);
          },
          loop.now(), kHandshakeTimeoutMs) {}

std::shared_ptr<QmpConnection> QmpConnection::open(runtime::EventLoop& loop, UniqueFd connected, Handlers handlers) {
  std::shared_ptr<QmpConnection> connection(new QmpConnection(loop, std::move(handlers)));
  const std::weak_ptr<QmpConnection> weak = connection;
  connection->stream_ = open_stream(loop, std::move(connected),
                                    {.on_bytes =
                                         [weak](std::string_view bytes) {
                                           if (const auto self = weak.lock()) self->take_bytes(bytes);
                                         },
                                     .on_closed =
                                         [weak] {
                                           if (const auto self = weak.lock()) {
                                             self->take_end({ErrorCode::unavailable, "QEMU closed its control socket"});
                                           }
                                         }});
  connection->watch_deadline();
  return connection;
}

void QmpConnection::execute(std::string_view command, std::string_view arguments, Milliseconds timeout_ms,
                            QmpReply reply) {
  codec_.execute(command, arguments, timeout_ms, loop_.now(), std::move(reply));
  flush_soon();
  watch_deadline();
}

void QmpConnection::close() {
  if (ended_) return;
  const auto self = shared_from_this();
  ended_ = true;
  stream_->close();
  codec_.close({ErrorCode::cancelled, "the control connection was closed"});
}

void QmpConnection::take_bytes(std::string_view bytes) {
  const auto self = shared_from_this();
  const auto taken = codec_.feed(bytes);
  if (!taken) {
    take_end(taken.error());
    return;
  }
  flush_soon();
}

void QmpConnection::take_end(const Error& why) {
  if (ended_) return;
  const auto self = shared_from_this();
  ended_ = true;
  stream_->close();
  codec_.close(why);
  if (handlers_.on_closed) handlers_.on_closed(why);
}

void QmpConnection::flush_soon() {
  if (flushing_ || ended_) return;
  flushing_ = true;
  loop_.post([weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->flushing_ = false;
    if (self->ended_) return;
    const std::string output = self->codec_.take_output();
    if (!output.empty()) self->stream_->send(output);
    if (self->stream_->unsent() > kUnsentMax) self->take_end({ErrorCode::timed_out, "QEMU does not read its commands"});
  });
}

void QmpConnection::watch_deadline() {
  const auto deadline_ms = codec_.next_deadline_ms();
  if (timer_runs_ || ended_ || !deadline_ms) return;
  timer_runs_ = true;
  // One timer at a time, at most a second long, so that a shorter deadline given later is seen too.
  const Milliseconds delay_ms = std::clamp<Milliseconds>(*deadline_ms - loop_.now().monotonic_ms, 1, 1000);
  loop_.post_after(delay_ms, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->timer_runs_ = false;
    self->codec_.expire(self->loop_.now());
    if (self->codec_.closed()) self->take_end({ErrorCode::timed_out, "QEMU did not greet on its control socket"});
    self->watch_deadline();
  });
}

}  // namespace gantry::qemu
