// Certificates as text. Internal to src/link.
#pragma once

#include <openssl/x509.h>

#include <string>

namespace gantry::link {

// In PEM form; empty when OpenSSL cannot.
std::string pem_of_certificate(X509* certificate);

}  // namespace gantry::link
