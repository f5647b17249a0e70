// One client of the HTTPS port: handshake, requests one after another, answers. See edge.h.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <optional>

#include "server/tls_stream.h"

namespace gantry::server {

class HttpConnection final : public ConnectionBase {
 public:
  HttpConnection(Edge& edge, std::uint64_t number, asio::ip::tcp::socket socket, asio::ssl::context& tls);
  void start();
  void finish() override;
  void abort() override;
  [[nodiscard]] bool is_spare() const override { return !busy_ || reads_of_stranger_; }

 private:
  void on_detected(const BeastError& error, bool is_tls);
  void refuse_plain_text();
  void wait_for_close_of_plain_text();
  void on_handshake(const BeastError& error, std::size_t used);
  void read_header();
  void on_header(const BeastError& error);
  void refuse_header(const BeastError& error);
  void admit_body();
  void read_body();
  void on_body(const BeastError& error);
  void send_continue(std::function<void()> then);
  void serve_special(v1::Route::Kind kind);
  void hand_over(v1::Route::Kind kind, const RequestPtr& request, Admitted admitted);
  void dispatch();
  void await_answer(std::uint64_t request_number);
  void on_answer(std::uint64_t request_number, HttpAnswer answer);
  void answer_last(HttpAnswer answer, bool unread);
  void leave_quietly();

  TlsStream stream_;
  beast::flat_buffer buffer_;
  std::string peer_;
  // A message written by hand: the plain-text refusal, "100 Continue".
  std::string raw_;
  std::unique_ptr<HeaderParser> header_;
  std::optional<http::request_parser<http::string_body>> body_;
  HttpRequest request_;
  http::response<http::string_body> response_;
  asio::steady_timer answer_timer_;
  // Tells late answers apart.
  std::uint64_t request_number_ = 0;
  bool keep_alive_ = false;
  // The request is a HEAD.
  bool head_ = false;
  // From a request's header to its answer.
  bool busy_ = false;
  std::uint64_t body_bytes_max_ = 0;
  // The body of a request that needs no login is being read.
  bool reads_of_stranger_ = false;
  bool finishing_ = false;
};

// The successors; each takes the stream and serves one request until it ends.
struct HandedOver {
  Edge& edge;
  std::uint64_t number;
  TlsStream stream;
  RequestPtr request;
  Admitted admitted;
};
std::shared_ptr<ConnectionBase> start_events(HandedOver from);
std::shared_ptr<ConnectionBase> start_console(HandedOver from, std::unique_ptr<HeaderParser> header);
std::shared_ptr<ConnectionBase> start_upload(HandedOver from, std::unique_ptr<HeaderParser> header,
                                             beast::flat_buffer buffer);

}  // namespace gantry::server
