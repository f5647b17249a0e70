#include <openssl/ssl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <boost/asio/ssl/context.hpp>
#include <cstring>

#include "server/certificate.h"

namespace gantry::server {
namespace {

namespace ssl = boost::asio::ssl;

// TLS 1.3's own suites are all fine; of 1.2 only those with forward secrecy and authenticated encryption.
constexpr const char* kCiphers =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

int choose_protocol(SSL* /*ssl*/, const unsigned char** out, unsigned char* out_length, const unsigned char* in,
                    unsigned int in_length, void* /*argument*/) {
  static constexpr std::string_view kHttp = "http/1.1";
  for (unsigned int i = 0; i < in_length && i + 1 + in[i] <= in_length; i += 1U + in[i]) {
    if (in[i] != kHttp.size() || std::memcmp(in + i + 1, kHttp.data(), kHttp.size()) != 0) continue;
    *out = in + i + 1;
    *out_length = in[i];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_NOACK;
}

std::shared_ptr<ssl::context> make_context(const TlsPaths& paths) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX* native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(native, kCiphers);
  SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  // Idle connections hold no buffers.
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(native, choose_protocol, nullptr);
  // Instead of asking at the terminal.
  context->set_password_callback([](std::size_t, ssl::context::password_purpose) { return std::string(); });
  context->use_certificate_chain_file(paths.certificate);
  context->use_private_key_file(paths.key, ssl::context::pem);
  if (SSL_CTX_check_private_key(native) != 1) throw std::runtime_error("the key belongs to another certificate");
  return context;
}

}  // namespace

std::string TlsIdentity::fingerprint() const {
  std::string text;
  for (const std::string& path : {paths_.certificate, paths_.key}) {
    struct stat facts {};
    if (::stat(path.c_str(), &facts) != 0) return {};
    text += std::to_string(facts.st_ino) + ":" + std::to_string(facts.st_size) + ":" +
            std::to_string(facts.st_mtim.tv_sec) + "." + std::to_string(facts.st_mtim.tv_nsec) + " ";
  }
  return text;
}

Result<void> TlsIdentity::load() {
  // Before the files are read: a change in between is seen next time.
  loaded_ = fingerprint();
  try {
    context_ = make_context(paths_);
    return {};
  } catch (const std::exception& error) {
    return fail(ErrorCode::invalid_argument, "the certificate " + paths_.certificate + " cannot be used", error.what(),
                "check it and its key " + paths_.key);
  }
}

std::shared_ptr<boost::asio::ssl::context> TlsIdentity::current(Milliseconds now_monotonic_ms) {
  if (now_monotonic_ms - looked_ms_ < 1000) return context_;
  looked_ms_ = now_monotonic_ms;
  const std::string now_there = fingerprint();
  if (now_there.empty() || now_there == loaded_) return context_;
  if (auto loaded = load(); loaded) {
    spdlog::info("the certificate {} was taken anew", paths_.certificate);
  } else {
    spdlog::warn("{}; the old one stays in use", loaded.error().to_text());
  }
  return context_;
}

}  // namespace gantry::server
