#include "server/secrets.h"

#include <sodium.h>

#include <array>
#include <stdexcept>

namespace gantry::server {
namespace {

constexpr std::string_view kLetters = "23456789abcdefghjkmnpqrstuvwxyz";
constexpr unsigned long long kPasses = 2;
constexpr std::size_t kMemoryBytes = 19U << 20U;

// Idempotent and safe from any thread; it fails only on a system without random numbers.
void prepare() {
  if (sodium_init() < 0) throw std::runtime_error("libsodium cannot start: the system gives no random numbers");
}

std::string random_letters(std::size_t count) {
  prepare();
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += kLetters[randombytes_uniform(kLetters.size())];
  return text;
}

}  // namespace

std::string new_password() {
  std::string password;
  for (int group = 0; group < 4; ++group) password += (group == 0 ? "" : "-") + random_letters(5);
  return password;
}

// 52 of 31 letters are 257 bits.
std::string new_token(std::string_view prefix) { return std::string(prefix) + random_letters(52); }

std::uint64_t random_seed() {
  prepare();
  std::uint64_t seed = 0;
  randombytes_buf(&seed, sizeof seed);
  return seed;
}

Result<std::string> hash_password(const std::string& password) {
  prepare();
  std::array<char, crypto_pwhash_STRBYTES> hash{};
  if (crypto_pwhash_str_alg(hash.data(), password.data(), password.size(), kPasses, kMemoryBytes,
                            crypto_pwhash_ALG_ARGON2ID13) != 0) {
    return fail(ErrorCode::unavailable, "the password cannot be hashed", "there is not enough memory",
                "try again in a moment");
  }
  return std::string(hash.data());
}

bool verify_password(const std::string& hash, const std::string& password) {
  prepare();
  return crypto_pwhash_str_verify(hash.c_str(), password.data(), password.size()) == 0;
}

std::string sha256_hex(std::string_view text) {
  std::array<unsigned char, crypto_hash_sha256_BYTES> digest{};
  crypto_hash_sha256(digest.data(), reinterpret_cast<const unsigned char*>(text.data()), text.size());
  std::array<char, crypto_hash_sha256_BYTES * 2 + 1> hex{};
  sodium_bin2hex(hex.data(), hex.size(), digest.data(), digest.size());
  return hex.data();
}

bool same_secret(std::string_view a, std::string_view b) {
  return a.size() == b.size() && sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace gantry::server
