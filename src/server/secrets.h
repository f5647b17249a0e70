// Passwords and bearer tokens, by libsodium. Secrets are random bytes of the system's, never base/rng.h's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::server {

// 20 letters and digits that cannot be confused, in groups of five: 99 random bits.
std::string new_password();
// `prefix` and 256 random bits in letters and digits.
std::string new_token(std::string_view prefix);
// For ids of records.
std::uint64_t random_seed();

// Argon2id in libsodium's text form, with 19 MiB and two passes (OWASP's advice): the memory is mapped for the call and
// given back at once. Blocks for some ten milliseconds.
Result<std::string> hash_password(const std::string& password);
bool verify_password(const std::string& hash, const std::string& password);

// Hexadecimal.
std::string sha256_hex(std::string_view text);
// In a time that does not depend on where they differ.
bool same_secret(std::string_view a, std::string_view b);

}  // namespace gantry::server
