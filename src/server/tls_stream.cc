#include "server/tls_stream.h"

#include <array>

namespace gantry::server {
namespace {

constexpr Milliseconds kCloseMs = 2'000;
constexpr std::size_t kDrainBytesMax = 16U << 20U;

struct LastAnswer {
  std::shared_ptr<ConnectionBase> owner;
  TlsStream* stream = nullptr;
  http::response<http::string_body> response;
  std::array<char, 16384> scratch = {};
  std::size_t drained = 0;
};

void drain(const std::shared_ptr<LastAnswer>& last) {
  last->stream->async_read_some(asio::buffer(last->scratch), [last](const BeastError& error, std::size_t count) {
    last->drained += count;
    if (error || last->drained > kDrainBytesMax) return close_gracefully(last->owner, *last->stream);
    drain(last);
  });
}

}  // namespace

http::response<http::string_body> make_response(HttpAnswer answer, bool keep_alive, bool head) {
  http::response<http::string_body> response;
  response.version(11);
  response.result(answer.status);
  response.set(http::field::server, "gantryd");
  for (const auto& [name, value] : security_headers()) response.set(name, value);
  for (const auto& [name, value] : answer.headers) response.set(name, value);
  response.keep_alive(keep_alive);
  const bool bodiless = answer.status == 204 || answer.status == 304;
  if (!bodiless) {
    response.set(http::field::content_type, answer.content_type);
    response.content_length(answer.body.size());
  }
  if (!head && !bodiless) response.body() = std::move(answer.body);
  return response;
}

void close_gracefully(const std::shared_ptr<ConnectionBase>& owner, TlsStream& stream) {
  expire_after(stream, kCloseMs);
  stream.async_shutdown([owner, &stream](const BeastError& /*the other side may have been quicker*/) {
    close_now(stream);
    owner->leave();
  });
}

void answer_and_close(const std::shared_ptr<ConnectionBase>& owner, TlsStream& stream, HttpAnswer answer, bool head,
                      bool unread) {
  const auto last = std::make_shared<LastAnswer>();
  last->owner = owner;
  last->stream = &stream;
  last->response = make_response(std::move(answer), false, head);
  expire_after(stream, 30'000);
  http::async_write(stream, last->response, [last, unread](const BeastError& error, std::size_t /*count*/) {
    if (error) {
      close_now(*last->stream);
      return last->owner->leave();
    }
    if (!unread) return close_gracefully(last->owner, *last->stream);
    expire_after(*last->stream, kCloseMs);
    drain(last);
  });
}

}  // namespace gantry::server
