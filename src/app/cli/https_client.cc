#include "app/cli/https_client.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <cctype>
#include <cerrno>
#include <filesystem>
#include <optional>

#include "base/hex.h"

namespace gantry::app {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace ssl = asio::ssl;
using boost::system::error_code;
using Stream = beast::ssl_stream<beast::tcp_stream>;

constexpr std::chrono::seconds kConnectTimeout{10};

std::string fingerprint_of(X509* certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  if (certificate == nullptr || X509_digest(certificate, EVP_sha256(), digest.data(), &length) != 1) return {};
  return to_hex(digest.data(), length);
}

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

// One TLS connection. Asynchronous calls run to their end at once, which gives each of them a time limit.
class HttpsClient::Connection {
 public:
  explicit Connection(const ServerAddress& address, bool trust_anything)
      : address_(address), tls_(ssl::context::tls_client), stream_(io_, tls_) {
    stream_.set_verify_mode(trust_anything ? ssl::verify_none : ssl::verify_peer);
    if (trust_anything) return;
    if (address.fingerprint.empty()) {
      error_code ignored;
      tls_.set_default_verify_paths(ignored);
      stream_.set_verify_mode(ssl::verify_peer);
      stream_.set_verify_callback(ssl::host_name_verification(address.host));
      return;
    }
    stream_.set_verify_callback([pinned = address.fingerprint](bool, ssl::verify_context& context) {
      X509* shown = X509_STORE_CTX_get_current_cert(context.native_handle());
      const bool is_leaf = X509_STORE_CTX_get_error_depth(context.native_handle()) == 0;
      return !is_leaf || fingerprint_of(shown) == pinned;
    });
  }

  error_code open() {
    error_code error;
    asio::ip::tcp::resolver resolver(io_);
    const auto found = resolver.resolve(address_.host, address_.port, error);
    if (error) return error;
    // The macro for this casts constness away in a way the warnings refuse.
    std::string server_name = address_.host;
    SSL_ctrl(stream_.native_handle(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, server_name.data());
    lowest().expires_after(kConnectTimeout);
    lowest().async_connect(found, [&](error_code result, const auto&) { error = result; });
    run();
    if (error) return error;
    lowest().socket().set_option(asio::ip::tcp::no_delay(true), error);
    lowest().expires_after(kConnectTimeout);
    stream_.async_handshake(ssl::stream_base::client, [&](error_code result) { error = result; });
    run();
    return error;
  }

  [[nodiscard]] std::string shown_fingerprint() {
    X509* shown = SSL_get1_peer_certificate(stream_.native_handle());
    std::string text = fingerprint_of(shown);
    X509_free(shown);
    return text;
  }

  template <class Message>
  error_code write(Message& message, Milliseconds timeout_ms) {
    error_code error;
    lowest().expires_after(std::chrono::milliseconds(timeout_ms));
    http::async_write(stream_, message, [&](error_code result, std::size_t) { error = result; });
    run();
    return error;
  }

  template <class Serializer>
  error_code write_some(Serializer& serializer, Milliseconds timeout_ms) {
    error_code error;
    lowest().expires_after(std::chrono::milliseconds(timeout_ms));
    http::async_write_some(stream_, serializer, [&](error_code result, std::size_t) { error = result; });
    run();
    return error;
  }

  error_code read(http::response_parser<http::string_body>& parser, Milliseconds timeout_ms) {
    error_code error;
    parser.body_limit(256U << 20U);
    lowest().expires_after(std::chrono::milliseconds(timeout_ms));
    http::async_read(stream_, buffer_, parser, [&](error_code result, std::size_t) { error = result; });
    run();
    return error;
  }

  error_code read_header(http::response_parser<http::buffer_body>& parser) {
    error_code error;
    lowest().expires_after(std::chrono::seconds(60));
    http::async_read_header(stream_, buffer_, parser, [&](error_code result, std::size_t) { error = result; });
    run();
    return error;
  }

  error_code read_some(http::response_parser<http::buffer_body>& parser, Milliseconds timeout_ms) {
    error_code error;
    lowest().expires_after(std::chrono::milliseconds(timeout_ms));
    http::async_read_some(stream_, buffer_, parser, [&](error_code result, std::size_t) { error = result; });
    run();
    return error;
  }

  asio::io_context& io() { return io_; }
  Stream& stream() { return stream_; }
  void run() {
    io_.restart();
    io_.run();
  }

 private:
  beast::tcp_stream& lowest() { return beast::get_lowest_layer(stream_); }

  const ServerAddress& address_;
  asio::io_context io_;
  ssl::context tls_;
  Stream stream_;
  beast::flat_buffer buffer_;
};

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

Result<HttpsClient::Connection*> HttpsClient::connection() {
  if (!connection_) {
    auto fresh = std::make_unique<Connection>(address_, false);
    if (const auto error = fresh->open()) return fail(explain("cannot reach", error.message()));
    connection_ = std::move(fresh);
  }
  return connection_.get();
}

Result<std::string> HttpsClient::peek_fingerprint() {
  Connection connection(address_, true);
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

namespace {

// A terminal's input and output are often one file: reading without blocking makes writing so, too.
bool write_all(int fd, const char* bytes, std::size_t count) {
  while (count > 0) {
    const ssize_t written = ::write(fd, bytes, count);
    if (written < 0 && (errno == EAGAIN || errno == EINTR)) {
      pollfd ready{fd, POLLOUT, 0};
      ::poll(&ready, 1, -1);
      continue;
    }
    if (written < 0) return false;
    bytes += written;
    count -= static_cast<std::size_t>(written);
  }
  return true;
}

// As the server: a console is not worth a compressor.
constexpr bool kCompressed = false;

// Moves bytes both ways until one side ends.
class ConsoleBridge {
 public:
  ConsoleBridge(asio::io_context& io, Stream& stream, const ConsoleEnds& ends)
      : io_(io),
        socket_(stream),
        input_flags_(::fcntl(ends.input_fd, F_GETFL)),
        input_(io, ::dup(ends.input_fd)),
        quiet_(io),
        ends_(ends) {}
  // The shell goes on with the same terminal and expects it to block.
  ~ConsoleBridge() { ::fcntl(ends_.input_fd, F_SETFL, input_flags_); }
  ConsoleBridge(const ConsoleBridge&) = delete;
  ConsoleBridge& operator=(const ConsoleBridge&) = delete;

  error_code open(const HttpRequest& request, const ServerAddress& address) {
    beast::get_lowest_layer(socket_).expires_never();
    socket_.set_option(beast::websocket::stream_base::timeout::suggested(beast::role_type::client));
    socket_.set_option(beast::websocket::stream_base::decorator([&](beast::websocket::request_type& upgrade) {
      for (const auto& [name, value] : request.headers) upgrade.set(name, value);
    }));
    socket_.binary(true);
    error_code error;
    socket_.async_handshake(response_, address.host + ":" + address.port, request.target,
                            [&](error_code result) { error = result; });
    io_.restart();
    io_.run();
    return error;
  }

  [[nodiscard]] beast::websocket::response_type& response() { return response_; }

  error_code run() {
    read_guest();
    read_user();
    io_.restart();
    io_.run();
    return error_;
  }

 private:
  void finish(error_code error) {
    if (!error_ && error != beast::websocket::error::closed && error != asio::error::operation_aborted) error_ = error;
    io_.stop();
  }

  void read_guest() {
    socket_.async_read(from_guest_, [this](error_code error, std::size_t) {
      if (error) return finish(error);
      const auto said = from_guest_.data();
      if (!write_all(ends_.output_fd, static_cast<const char*>(said.data()), said.size())) return finish({});
      from_guest_.clear();
      if (input_ended_) leave_when_quiet();
      read_guest();
    });
  }

  // After a script's last line, what the guest answers is still wanted.
  void leave_when_quiet() {
    input_ended_ = true;
    quiet_.expires_after(std::chrono::seconds(2));
    quiet_.async_wait([this](error_code error) {
      if (!error) finish({});
    });
  }

  void read_user() {
    input_.async_read_some(asio::buffer(from_user_), [this](error_code error, std::size_t count) {
      if (error == asio::error::eof) return leave_when_quiet();
      if (error) return finish(error);
      if (count == 1 && from_user_[0] == ends_.escape) return finish({});
      socket_.async_write(asio::buffer(from_user_.data(), count), [this](error_code write_error, std::size_t) {
        if (write_error) return finish(write_error);
        read_user();
      });
    });
  }

  asio::io_context& io_;
  beast::websocket::stream<Stream&, kCompressed> socket_;
  int input_flags_;
  asio::posix::stream_descriptor input_;
  asio::steady_timer quiet_;
  bool input_ended_ = false;
  ConsoleEnds ends_;
  beast::websocket::response_type response_;
  beast::flat_buffer from_guest_;
  std::array<char, 1024> from_user_{};
  error_code error_;
};

}  // namespace

Result<HttpResponse> HttpsClient::run_console(const HttpRequest& request, const ConsoleEnds& ends) {
  auto open = connection();
  if (!open) return fail(open.error());
  // The bridge stands on the connection's socket and must go first.
  std::unique_ptr<Connection> connection = std::move(connection_);
  ConsoleBridge bridge(connection->io(), connection->stream(), ends);
  if (const auto error = bridge.open(request, address_)) {
    if (error == beast::websocket::error::upgrade_declined) return to_response(bridge.response());
    return fail(explain("lost the connection to", error.message()));
  }
  if (const auto error = bridge.run()) return fail(explain("lost the console at", error.message()));
  return to_response(bridge.response());
}

}  // namespace gantry::app
