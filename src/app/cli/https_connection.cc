#include "app/cli/https_connection.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>

#include "base/hex.h"

namespace gantry::app {
namespace {

constexpr std::chrono::seconds kConnectTimeout{10};

std::string fingerprint_of(X509* certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  if (certificate == nullptr || X509_digest(certificate, EVP_sha256(), digest.data(), &length) != 1) return {};
  return to_hex(digest.data(), length);
}

}  // namespace

HttpsConnection::HttpsConnection(const ServerAddress& address, bool trust_anything)
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

error_code HttpsConnection::open() {
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

std::string HttpsConnection::shown_fingerprint() {
  X509* shown = SSL_get1_peer_certificate(stream_.native_handle());
  std::string text = fingerprint_of(shown);
  X509_free(shown);
  return text;
}

error_code HttpsConnection::read(http::response_parser<http::string_body>& parser, Milliseconds timeout_ms) {
  error_code error;
  parser.body_limit(256U << 20U);
  lowest().expires_after(std::chrono::milliseconds(timeout_ms));
  http::async_read(stream_, buffer_, parser, [&](error_code result, std::size_t) { error = result; });
  run();
  return error;
}

error_code HttpsConnection::read_header(http::response_parser<http::buffer_body>& parser) {
  error_code error;
  lowest().expires_after(std::chrono::seconds(60));
  http::async_read_header(stream_, buffer_, parser, [&](error_code result, std::size_t) { error = result; });
  run();
  return error;
}

error_code HttpsConnection::read_some(http::response_parser<http::buffer_body>& parser, Milliseconds timeout_ms) {
  error_code error;
  lowest().expires_after(std::chrono::milliseconds(timeout_ms));
  http::async_read_some(stream_, buffer_, parser, [&](error_code result, std::size_t) { error = result; });
  run();
  return error;
}

}  // namespace gantry::app
