// The cluster's own authority and the certificates it gives: pure OpenSSL, no I/O. Keys are EC P-256; texts are PEM.
//
// A host's certificate names it by "URI:gantry://host/ID" and can only be a client's; a manager's names kManagerName
// and can only be a server's. Neither can act as the other, and neither can sign.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace gantry::link {

inline constexpr std::string_view kManagerName = "manager.gantry.internal";
// Leaving is what revokes a host's; a long life lets a machine come back that was off for months.
inline constexpr Milliseconds kHostCertificateMs = 365LL * 24 * 3600 * 1000;
inline constexpr Milliseconds kRenewAfterMs = 30LL * 24 * 3600 * 1000;
inline constexpr Milliseconds kAuthorityMs = 10LL * 365 * 24 * 3600 * 1000;

struct Credentials {
  std::string certificate_pem;
  std::string key_pem;
};

// When a certificate may be used, in milliseconds since 1970.
struct Validity {
  Milliseconds from_ms = 0;
  Milliseconds until_ms = 0;
};

// What a host's certificate says.
struct HostIdentity {
  std::string host_id;
  Validity validity;
};

// `from_ms` is put an hour back, for machines whose clock is behind.
Result<Credentials> make_authority(Validity validity);

// A new key, and a request for a certificate of it (PKCS#10).
struct KeyRequest {
  std::string key_pem;
  std::string request_pem;
};
Result<KeyRequest> make_key_request();

// invalid_argument when it is not a request for an EC P-256 key, signed with that key. From outside: at most 8 KiB are
// looked at.
Result<void> check_request(std::string_view request_pem);

// A certificate for `host_id` and the request's public key; nothing else is taken from the request.
Result<std::string> sign_host(const Credentials& authority, std::string_view request_pem, std::string_view host_id,
                              Validity validity);
// A key and a certificate for a manager's end of the link.
Result<Credentials> make_manager_credentials(const Credentials& authority, Validity validity);

// Lower-case hexadecimal SHA-256 of the first certificate of a text.
Result<std::string> fingerprint_of(std::string_view certificate_pem);
Result<Validity> validity_of(std::string_view certificate_pem);
// Of the first certificate of a text, whose issuer was checked by TLS already: unauthenticated when it names no host.
Result<HostIdentity> read_host_certificate(std::string_view certificate_pem);
// Whether `certificate_pem` was given by the authority for `host_id` and belongs to `key_pem`: what a host checks of a
// certificate it is given.
Result<void> check_host_credentials(std::string_view authority_pem, const Credentials& given, std::string_view host_id);

}  // namespace gantry::link
