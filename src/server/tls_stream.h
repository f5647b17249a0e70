// The connection's stream, and how answers are put on it. Heavy headers: for connection sources only.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <chrono>
#include <memory>

#include "server/edge.h"
#include "server/http.h"

namespace gantry::server {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

using BeastError = boost::system::error_code;
using TlsStream = beast::ssl_stream<beast::tcp_stream>;
using HeaderParser = http::request_parser<http::empty_body>;

inline void expire_after(TlsStream& stream, Milliseconds after_ms) {
  beast::get_lowest_layer(stream).expires_after(std::chrono::milliseconds(after_ms));
}

inline void close_now(TlsStream& stream) { beast::get_lowest_layer(stream).close(); }

// `head`: the answer to HEAD, which has all but the body.
http::response<http::string_body> make_response(HttpAnswer answer, bool keep_alive, bool head);

// Writes a last answer, ends TLS properly and takes `owner` from the table. `unread`: the request may still be coming;
// it is read and thrown away for a moment, so that the client gets to see the answer.
void answer_and_close(const std::shared_ptr<ConnectionBase>& owner, TlsStream& stream, HttpAnswer answer, bool head,
                      bool unread);

// Ends TLS properly and takes `owner` from the table.
void close_gracefully(const std::shared_ptr<ConnectionBase>& owner, TlsStream& stream);

}  // namespace gantry::server
