#include "app/cli/https_client.h"

#include <algorithm>
#include <array>
#include <boost/asio/error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket/error.hpp>
#include <cctype>
#include <utility>

#include "app/cli/console_bridge.h"
#include "app/cli/https_connection.h"

namespace gantry::app {
namespace {

HttpResponse to_response(http::response<http::string_body>& from) {
  HttpResponse response;
  response.status = from.result_int();
  for (const auto& field : from) {
    std::string name(field.name_string());
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    response.headers[name] = std::string(field.value());
  }
  response.body = std::move(from.body());
  return response;
}

template <class Message>
void fill(Message& message, const HttpRequest& request, const ServerAddress& address) {
  message.method_string(request.method);
  message.target(request.target);
  message.version(11);
  message.set(http::field::host, address.host + ":" + address.port);
  message.set(http::field::user_agent, "gantry/" GANTRY_VERSION);
  for (const auto& [name, value] : request.headers) message.set(name, value);
}

}  // namespace

Result<ServerAddress> parse_server_address(std::string_view text) {
  const std::string whole(text);
  constexpr std::string_view kScheme = "https://";
  if (text.substr(0, kScheme.size()) == kScheme) text.remove_prefix(kScheme.size());
  while (!text.empty() && text.back() == '/') text.remove_suffix(1);
  ServerAddress address;
  if (!text.empty() && text.front() == '[') {
    const auto end = text.find(']');
    address.host = std::string(text.substr(1, end == std::string_view::npos ? end : end - 1));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  } else {
    const auto colon = text.rfind(':');
    address.host = std::string(text.substr(0, colon));
    text = colon == std::string_view::npos ? std::string_view() : text.substr(colon);
  }
  if (!text.empty()) address.port = std::string(text.substr(1));
  const bool port_ok =
      !address.port.empty() && address.port.size() <= 5 &&
      std::all_of(address.port.begin(), address.port.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (address.host.empty() || !port_ok || address.host.find_first_of("/ ") != std::string::npos) {
    return fail(ErrorCode::invalid_argument, "\"" + whole + "\" is not a server's address", "",
                "write it as https://HOST:PORT");
  }
  return address;
}

HttpsClient::HttpsClient(ServerAddress address) : address_(std::move(address)) {}
HttpsClient::~HttpsClient() = default;

Error HttpsClient::explain(const std::string& what, const std::string& cause) const {
  const std::string server = "https://" + address_.host + ":" + address_.port;
  if (cause.find("certificate verify failed") != std::string::npos) {
    return Error{ErrorCode::permission_denied, "the server at " + server + " is not the one trusted here",
                 address_.fingerprint.empty() ? "no authority known to this machine vouches for its certificate"
                                              : "its certificate is another than the one kept",
                 "if it was really changed, sign in again: gantry login " + server};
  }
  return Error{ErrorCode::unavailable, what + " " + server, cause,
               "see that gantryd runs there: systemctl status gantryd"};
}

Result<HttpsConnection*> HttpsClient::connection() {
  if (!connection_) {
    auto fresh = std::make_unique<HttpsConnection>(address_, false);
    if (const auto error = fresh->open()) return fail(explain("cannot reach", error.message()));
    connection_ = std::move(fresh);
  }
  return connection_.get();
}

Result<std::string> HttpsClient::peek_fingerprint() {
  HttpsConnection connection(address_, true);
  if (const auto error = connection.open()) return fail(explain("cannot reach", error.message()));
  return connection.shown_fingerprint();
}

Result<HttpResponse> HttpsClient::send(const HttpRequest& request) {
  // A kept connection may have been closed by the server meanwhile; a request that never reached it goes out again.
  for (const bool kept : {connection_ != nullptr, false}) {
    auto open = connection();
    if (!open) return fail(open.error());
    http::request<http::string_body> message;
    fill(message, request, address_);
    message.body() = request.body;
    message.prepare_payload();
    http::response_parser<http::string_body> parser;
    auto error = (*open)->write(message, request.timeout_ms);
    if (!error) error = (*open)->read(parser, request.timeout_ms);
    if (!error) {
      if (!parser.get().keep_alive()) connection_.reset();
      return to_response(parser.get());
    }
    connection_.reset();
    const bool never_arrived = error == http::error::end_of_stream || error == asio::error::connection_reset ||
                               error == asio::error::broken_pipe || error == ssl::error::stream_truncated;
    const bool harmless = request.method == "GET" || request.headers.count("Idempotency-Key") != 0;
    if (!(kept && never_arrived && harmless)) return fail(explain("lost the connection to", error.message()));
  }
  return fail(explain("cannot reach", "it closes every connection"));
}

Result<HttpResponse> HttpsClient::upload(const HttpRequest& request, const std::string& path,
                                         const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  auto open = connection();
  if (!open) return fail(open.error());
  http::request<http::file_body> message;
  fill(message, request, address_);
  error_code error;
  message.body().open(path.c_str(), beast::file_mode::scan, error);
  if (error) return fail(ErrorCode::not_found, "cannot read " + path, error.message());
  const std::uint64_t total = message.body().size();
  message.prepare_payload();
  http::request_serializer<http::file_body> serializer(message);
  while (!error && !serializer.is_done()) {
    error = (*open)->write_some(serializer, request.timeout_ms);
    error_code ignored;
    progress(std::min(total, message.body().file().pos(ignored)), total);
  }
  // A server that refuses answers before it has read everything: its answer says more than the broken pipe.
  http::response_parser<http::string_body> parser;
  const auto read_error = (*open)->read(parser, request.timeout_ms);
  connection_.reset();
  if (read_error) return fail(explain("lost the connection to", (error ? error : read_error).message()));
  return to_response(parser.get());
}

Result<HttpResponse> HttpsClient::stream_lines(const HttpRequest& request,
                                               const std::function<bool(std::string_view)>& line) {
  auto open = connection();
  if (!open) return fail(open.error());
  http::request<http::empty_body> message;
  fill(message, request, address_);
  http::response_parser<http::buffer_body> parser;
  parser.body_limit(boost::none);
  auto error = (*open)->write(message, request.timeout_ms);
  if (!error) error = (*open)->read_header(parser);
  HttpResponse response;
  response.status = parser.get().result_int();
  std::string pending;
  std::array<char, 16384> piece{};
  bool wanted = true;
  while (!error && wanted && !parser.is_done()) {
    parser.get().body().data = piece.data();
    parser.get().body().size = piece.size();
    error = (*open)->read_some(parser, request.timeout_ms);
    if (error == http::error::need_buffer) error = {};
    pending.append(piece.data(), piece.size() - parser.get().body().size);
    for (auto end = pending.find('\n'); response.status < 400 && wanted && end != std::string::npos;
         end = pending.find('\n')) {
      wanted = line(std::string_view(pending).substr(0, end));
      pending.erase(0, end + 1);
    }
  }
  connection_.reset();
  response.body = pending;
  if (error && error != http::error::end_of_stream && error != ssl::error::stream_truncated) {
    return fail(explain("lost the connection to", error.message()));
  }
  return response;
}

Result<HttpResponse> HttpsClient::run_console(const HttpRequest& request, const ConsoleEnds& ends) {
  auto open = connection();
  if (!open) return fail(open.error());
  ConsoleBridge bridge(std::move(connection_), ends);
  if (const auto error = bridge.open(request, address_)) {
    if (error == beast::websocket::error::upgrade_declined) return to_response(bridge.response());
    return fail(explain("lost the connection to", error.message()));
  }
  if (const auto error = bridge.run()) return fail(explain("lost the console at", error.message()));
  return to_response(bridge.response());
}

}  // namespace gantry::app
