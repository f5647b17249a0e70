// SHA-256 (FIPS 180-4), for telling whether two requests are the same. Files are hashed by OpenSSL in src/storage.
#pragma once

#include <string>
#include <string_view>

namespace gantry::model {

// In hexadecimal.
std::string sha256_hex(std::string_view bytes);

}  // namespace gantry::model
