// The server's own certificate, and the TLS settings made of certificate files.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace boost::asio::ssl {
class context;
}

namespace gantry::server {

struct TlsPaths {
  // PEM; the certificate first, then its chain.
  std::string certificate;
  // PEM, without a passphrase.
  std::string key;
};

// When there is no certificate: makes a self-signed EC P-256 certificate of ten years for localhost, 127.0.0.1, ::1,
// this machine's host name and `addresses` (for 0.0.0.0 and :: those of its interfaces), its key readable by the owner
// only. One that this made before is made anew, of the same key, when it does not name one of `addresses` (for 0.0.0.0
// and ::, none of the machine's). Other files that are there are left alone; a certificate without its key is a
// conflict.
Result<void> ensure_certificate(const TlsPaths& paths, const std::vector<std::string>& addresses);

// The settings of the files as they are now; files changed later are taken for new connections (looked at once a
// second at most). Files that do not fit together leave the old settings.
//
// Threads: one at a time.
class TlsIdentity {
 public:
  explicit TlsIdentity(TlsPaths paths) : paths_(std::move(paths)) {}
  Result<void> load();
  // After load().
  std::shared_ptr<boost::asio::ssl::context> current(Milliseconds now_monotonic_ms);

 private:
  [[nodiscard]] std::string fingerprint() const;

  TlsPaths paths_;
  std::shared_ptr<boost::asio::ssl::context> context_;
  std::string loaded_;
  Milliseconds looked_ms_ = 0;
};

}  // namespace gantry::server
