// One TLS connection of the command line. Asynchronous calls run to their end at once, which gives each of them a time
// limit. Heavy headers: only for the sources behind https_client.h.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <chrono>
#include <string>

#include "app/cli/https_client.h"

namespace gantry::app {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace ssl = boost::asio::ssl;

using boost::system::error_code;
using TlsStream = beast::ssl_stream<beast::tcp_stream>;

class HttpsConnection {
 public:
  // Keeps a reference to `address`. `trust_anything`: to look at a certificate before anyone has vouched for it.
  HttpsConnection(const ServerAddress& address, bool trust_anything);

  // Before anything else, once.
  error_code open();
  // SHA-256 of the server's certificate in lower-case hexadecimal.
  [[nodiscard]] std::string shown_fingerprint();

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

  error_code read(http::response_parser<http::string_body>& parser, Milliseconds timeout_ms);
  error_code read_header(http::response_parser<http::buffer_body>& parser);
  error_code read_some(http::response_parser<http::buffer_body>& parser, Milliseconds timeout_ms);

  // For a protocol that takes over from HTTP: start its asynchronous calls on these, then run() them to their end.
  asio::io_context& io() { return io_; }
  TlsStream& stream() { return stream_; }
  void run() {
    io_.restart();
    io_.run();
  }

 private:
  beast::tcp_stream& lowest() { return beast::get_lowest_layer(stream_); }

  const ServerAddress& address_;
  asio::io_context io_;
  ssl::context tls_;
  TlsStream stream_;
  beast::flat_buffer buffer_;
};

}  // namespace gantry::app
