#include "server/http_connection.h"

#include <boost/asio/write.hpp>
#include <boost/beast/core/detect_ssl.hpp>
#include <boost/beast/http/error.hpp>

#include "model/state.h"
#include "server/login_throttle.h"

namespace gantry::server {
namespace {

constexpr Milliseconds kHandshakeMs = 10'000;
constexpr std::uint32_t kHeaderBytesMax = 16U << 10U;
constexpr std::uint64_t kBodyBytesMax = 1U << 20U;
// Of whoever is not signed in.
constexpr std::uint64_t kStrangerBodyBytesMax = 16U << 10U;
constexpr std::size_t kBufferBytesMax = 128U << 10U;

Error body_too_large(std::uint64_t bytes_max) {
  return Error{ErrorCode::invalid_argument, "the body of the request is too large",
               "at most " + model::bytes_text(bytes_max) + " is taken here", "send less", "body_too_large"};
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

HttpRequest to_request(const http::request_header<>& header, const std::string& peer) {
  HttpRequest request;
  request.method = std::string(header.method_string());
  request.target = std::string(header.target());
  request.peer = peer;
  for (const auto& field : header) {
    std::string& value = request.headers[lower(field.name_string())];
    value += (value.empty() ? "" : ", ") + std::string(field.value());
  }
  return request;
}

}  // namespace

HttpConnection::HttpConnection(Edge& edge_in, std::uint64_t number_in, asio::ip::tcp::socket socket,
                               asio::ssl::context& tls)
    : ConnectionBase(edge_in, number_in),
      stream_(std::move(socket), tls),
      buffer_(kBufferBytesMax),
      answer_timer_(edge_in.context) {
  BeastError ignored;
  auto& lowest = beast::get_lowest_layer(stream_).socket();
  lowest.set_option(asio::ip::tcp::no_delay(true), ignored);
  const auto endpoint = lowest.remote_endpoint(ignored);
  peer_ = endpoint.address().to_string(ignored);
  set_network(network_of(peer_));
}

void HttpConnection::start() {
  expire_after(stream_, kHandshakeMs);
  beast::async_detect_ssl(
      beast::get_lowest_layer(stream_), buffer_,
      [self = self_as<HttpConnection>()](const BeastError& error, bool is_tls) { self->on_detected(error, is_tls); });
}

void HttpConnection::on_detected(const BeastError& error, bool is_tls) {
  if (error) return leave_quietly();
  if (!is_tls) return refuse_plain_text();
  expire_after(stream_, kHandshakeMs);
  // Variadic, because Boost 1.81 asks in its concept for a handler of one argument and then calls it with two.
  stream_.async_handshake(asio::ssl::stream_base::server, buffer_.data(),
                          [self = self_as<HttpConnection>()](const BeastError& failure, auto... used) {
                            self->on_handshake(failure, (std::size_t{0} + ... + used));
                          });
}

void HttpConnection::refuse_plain_text() {
  const HttpAnswer answer = answer_for(Error{ErrorCode::invalid_argument, "this port speaks HTTPS",
                                             "the request came without TLS", "use https:// instead", "tls_needed"});
  raw_ = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: " +
         std::to_string(answer.body.size()) + "\r\n\r\n" + answer.body;
  asio::async_write(beast::get_lowest_layer(stream_), asio::buffer(raw_),
                    [self = self_as<HttpConnection>()](const BeastError& error, std::size_t) {
                      if (error) return self->leave_quietly();
                      BeastError ignored;
                      auto& socket = beast::get_lowest_layer(self->stream_).socket();
                      socket.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
                      self->buffer_.clear();
                      expire_after(self->stream_, 2'000);
                      self->wait_for_close_of_plain_text();
                    });
}

// A socket closed with bytes unread is reset, and the client may lose the answer.
void HttpConnection::wait_for_close_of_plain_text() {
  beast::get_lowest_layer(stream_).async_read_some(
      buffer_.prepare(4096), [self = self_as<HttpConnection>()](const BeastError& error, std::size_t) {
        if (error) return self->leave_quietly();
        self->wait_for_close_of_plain_text();
      });
}

void HttpConnection::on_handshake(const BeastError& error, std::size_t used) {
  if (error) return leave_quietly();
  buffer_.consume(used);
  read_header();
}

void HttpConnection::read_header() {
  if (finishing_) return close_gracefully(shared_from_this(), stream_);
  busy_ = false;
  body_.reset();
  header_ = std::make_unique<HeaderParser>();
  header_->header_limit(kHeaderBytesMax);
  header_->body_limit(boost::none);
  expire_after(stream_, edge().options.header_timeout_ms);
  http::async_read_header(
      stream_, buffer_, *header_,
      [self = self_as<HttpConnection>()](const BeastError& error, std::size_t) { self->on_header(error); });
}

void HttpConnection::on_header(const BeastError& error) {
  if (error == http::error::end_of_stream) return close_gracefully(shared_from_this(), stream_);
  if (error) return refuse_header(error);
  busy_ = true;
  ++request_number_;
  keep_alive_ = header_->get().keep_alive();
  request_ = to_request(header_->get().base(), peer_);
  head_ = request_.method == "HEAD";
  if (edge().options.refuses) return answer_last(answer_for(edge().options.refuses()), !header_->is_done());
  const auto kind = edge().api.kind_of(request_);
  const auto wanted = kind.value_or(v1::Route::READ);
  const bool special = wanted == v1::Route::EVENTS || wanted == v1::Route::SOCKET || wanted == v1::Route::UPLOAD;
  if (special) return serve_special(*kind);
  if (header_->is_done() || !kind) return dispatch();
  admit_body();
}

// Memory is for those who are known: nobody else's body is read, but for the few bytes of a login.
void HttpConnection::admit_body() {
  await_answer(request_number_);
  const std::weak_ptr<HttpConnection> weak = self_as<HttpConnection>();
  edge().api.check_sender(request_, [weak, mine = request_number_](Result<bool, HttpAnswer> known) {
    const auto self = weak.lock();
    if (!self || mine != self->request_number_) return;
    ++self->request_number_;
    self->answer_timer_.cancel();
    if (!known) return self->answer_last(std::move(known.error()), true);
    self->body_bytes_max_ = *known ? kBodyBytesMax : kStrangerBodyBytesMax;
    self->reads_of_stranger_ = !*known;
    const auto length = self->header_->content_length();
    if (length && *length > self->body_bytes_max_) {
      return self->answer_last(answer_for(body_too_large(self->body_bytes_max_)), true);
    }
    self->send_continue([self] { self->read_body(); });
  });
}

void HttpConnection::refuse_header(const BeastError& error) {
  const bool malformed = error.category() == http::make_error_code(http::error::bad_method).category() &&
                         error != http::error::partial_message;
  if (!malformed) return leave_quietly();
  keep_alive_ = false;
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return answer_last(answer_for(Error{ErrorCode::invalid_argument, "the header of the request is too large",
                                        "at most 16 KiB is taken", "send less", "header_too_large"}),
                       true);
  }
  answer_last(answer_for(Error{ErrorCode::invalid_argument, "the request is not proper HTTP", error.message(),
                               "send an HTTP/1.1 request", "bad_request"}),
              true);
}

void HttpConnection::send_continue(std::function<void()> then) {
  if (lower(request_.header("expect")) != "100-continue") return then();
  raw_ = "HTTP/1.1 100 Continue\r\n\r\n";
  expire_after(stream_, edge().options.body_timeout_ms);
  asio::async_write(stream_, asio::buffer(raw_),
                    [self = self_as<HttpConnection>(), then = std::move(then)](const BeastError& error, std::size_t) {
                      if (error) return self->leave_quietly();
                      then();
                    });
}

void HttpConnection::read_body() {
  body_.emplace(std::move(*header_));
  body_->body_limit(body_bytes_max_);
  expire_after(stream_, edge().options.body_timeout_ms);
  http::async_read(stream_, buffer_, *body_,
                   [self = self_as<HttpConnection>()](const BeastError& error, std::size_t) { self->on_body(error); });
}

void HttpConnection::on_body(const BeastError& error) {
  reads_of_stranger_ = false;
  if (error == http::error::body_limit) return answer_last(answer_for(body_too_large(body_bytes_max_)), true);
  if (error) return refuse_header(error);
  request_.body = std::move(body_->get().body());
  dispatch();
}

void HttpConnection::dispatch() {
  const std::uint64_t mine = request_number_;
  await_answer(mine);
  const std::weak_ptr<HttpConnection> weak = self_as<HttpConnection>();
  edge().api.handle(std::move(request_), [weak, mine](HttpAnswer answer) {
    if (const auto self = weak.lock()) self->on_answer(mine, std::move(answer));
  });
}

void HttpConnection::await_answer(std::uint64_t request_number) {
  answer_timer_.expires_after(std::chrono::milliseconds(edge().options.answer_timeout_ms));
  const std::weak_ptr<HttpConnection> weak = self_as<HttpConnection>();
  answer_timer_.async_wait([weak, request_number](const BeastError& error) {
    const auto self = weak.lock();
    if (error || !self) return;
    self->on_answer(request_number,
                    answer_for(Error{ErrorCode::timed_out, "the manager did not answer in time", "it is overloaded",
                                     "look whether the change was made before you try again"}));
  });
}

void HttpConnection::on_answer(std::uint64_t request_number, HttpAnswer answer) {
  if (request_number != request_number_ || !busy_) return;
  ++request_number_;
  answer_timer_.cancel();
  // What is left unread of this request must not be taken for the next one.
  const bool unread = !body_ && !header_->is_done();
  if (!keep_alive_ || unread || finishing_ || edge().stopping) return answer_last(std::move(answer), unread);
  response_ = make_response(std::move(answer), true, head_);
  expire_after(stream_, edge().options.answer_timeout_ms);
  http::async_write(stream_, response_, [self = self_as<HttpConnection>()](const BeastError& error, std::size_t) {
    if (error) return self->leave_quietly();
    self->response_ = {};
    self->read_header();
  });
}

void HttpConnection::serve_special(v1::Route::Kind kind) {
  const auto request = std::make_shared<const HttpRequest>(request_);
  await_answer(request_number_);
  const std::weak_ptr<HttpConnection> weak = self_as<HttpConnection>();
  edge().api.admit(request, [weak, kind, request, mine = request_number_](Result<Admitted, HttpAnswer> admitted) {
    const auto self = weak.lock();
    if (!self || mine != self->request_number_) return;
    ++self->request_number_;
    self->answer_timer_.cancel();
    if (!admitted) return self->answer_last(std::move(admitted.error()), !self->header_->is_done());
    self->hand_over(kind, request, std::move(*admitted));
  });
}

void HttpConnection::hand_over(v1::Route::Kind kind, const RequestPtr& request, Admitted admitted) {
  const auto self = shared_from_this();
  const auto take = [&]() -> HandedOver {
    return {edge(), number(), std::move(stream_), request, std::move(admitted)};
  };
  if (kind == v1::Route::UPLOAD) {
    send_continue([this, self, request, admitted]() mutable {
      hand_over_to(start_upload({edge(), number(), std::move(stream_), request, std::move(admitted)},
                                std::move(header_), std::move(buffer_)));
    });
  } else if (kind == v1::Route::SOCKET) {
    hand_over_to(start_console(take(), std::move(header_)));
  } else {
    hand_over_to(start_events(take()));
  }
}

void HttpConnection::answer_last(HttpAnswer answer, bool unread) {
  busy_ = true;
  answer_and_close(shared_from_this(), stream_, std::move(answer), head_, unread);
}

void HttpConnection::leave_quietly() {
  const auto self = shared_from_this();
  answer_timer_.cancel();
  close_now(stream_);
  leave();
}

void HttpConnection::finish() {
  finishing_ = true;
  if (!busy_) leave_quietly();
}

void HttpConnection::abort() { leave_quietly(); }

}  // namespace gantry::server
