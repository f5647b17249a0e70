#include "model/join_token.h"

#include <charconv>
#include <optional>

#include "base/hex.h"
#include "model/sha256.h"

namespace gantry::model {
namespace {

constexpr std::string_view kPrefix = "gj1_";
constexpr std::string_view kFamily = "gj";
constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::size_t kTextBytesMax = 4096;
constexpr std::size_t kChecksumBytes = 4;
constexpr std::size_t kFingerprintBytes = 32;

std::string to_base64(std::string_view bytes) {
  std::string text;
  std::uint32_t held = 0;
  unsigned bits = 0;
  for (const char byte : bytes) {
    held = (held << 8U | static_cast<unsigned char>(byte)) & 0xffffffU;
    for (bits += 8; bits >= 6; bits -= 6) text += kDigits[held >> (bits - 6) & 63U];
  }
  if (bits > 0) text += kDigits[held << (6 - bits) & 63U];
  return text;
}

std::optional<std::string> from_base64(std::string_view text) {
  std::string bytes;
  std::uint32_t held = 0;
  unsigned bits = 0;
  for (const char letter : text) {
    const std::size_t digit = kDigits.find(letter);
    if (digit == std::string_view::npos) return std::nullopt;
    held = (held << 6U | static_cast<std::uint32_t>(digit)) & 0xffffffU;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes += static_cast<char>(held >> bits & 255U);
  }
  return bytes;
}

// Over the version too: a token of one is none of another.
std::string checksum(std::string_view payload) {
  return sha256_hex(std::string(kPrefix) + std::string(payload)).substr(0, kChecksumBytes * 2);
}

tl::unexpected<Error> bad_token(std::string cause, std::string reason) {
  return fail(ErrorCode::invalid_argument, "the token cannot be used", std::move(cause),
              "copy the whole line that \"gantry host token\" printed", std::move(reason));
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

}  // namespace

std::string format_join_token(const v1::JoinToken& token) {
  const std::string payload = token.SerializeAsString();
  const std::string sum = checksum(payload);
  return std::string(kPrefix) + to_base64(payload + from_hex(sum));
}

Result<v1::JoinToken> parse_join_token(std::string_view given) {
  const std::string_view text = trimmed(given);
  if (text.size() > kTextBytesMax) return bad_token("it is longer than any token", "bad_token");
  if (text.substr(0, kPrefix.size()) != kPrefix) {
    const std::size_t mark = text.substr(0, kFamily.size()) == kFamily ? text.find('_') : std::string_view::npos;
    if (mark <= 6) {
      return bad_token("it was made by another version of Gantry", "token_version");
    }
    return bad_token("it does not begin with \"gj1_\" as tokens do", "bad_token");
  }
  const auto bytes = from_base64(text.substr(kPrefix.size()));
  // What it was made of is the only text of it: a letter more or another spare bit is a mistyped one.
  v1::JoinToken token;
  const bool whole = bytes && bytes->size() > kChecksumBytes &&
                     token.ParseFromString(bytes->substr(0, bytes->size() - kChecksumBytes)) &&
                     format_join_token(token) == text;
  if (!whole) return bad_token("it is cut off or mistyped: its checksum does not fit", "token_damaged");
  if (token.secret().empty() || token.authority_fingerprint().size() != kFingerprintBytes ||
      token.addresses().empty() || token.addresses_size() > kJoinAddressesMax) {
    return bad_token("it does not hold what a token holds", "bad_token");
  }
  for (const std::string& address : token.addresses()) {
    if (auto parsed = parse_link_address(address); !parsed) return fail(std::move(parsed.error()));
  }
  return token;
}

Result<LinkAddress> parse_link_address(std::string_view text) {
  const auto wrong = [&](const char* cause) {
    return fail(ErrorCode::invalid_argument, "a link's address cannot be used", cause, "give HOST:PORT",
                "bad_link_address");
  };
  const std::size_t colon = text.rfind(':');
  if (text.size() > 300 || colon == std::string_view::npos) return wrong("it is not HOST:PORT");
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";
  const std::string allowed = std::string(kLetters) + (bracketed ? ":" : "");
  if (host.empty() || host.find_first_not_of(allowed) != std::string_view::npos) return wrong("its host is no name");
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  const bool whole = error == std::errc() && end == port.data() + port.size();
  if (!whole || number == 0 || number > 65535) return wrong("its port is not 1 to 65535");
  return LinkAddress{std::string(host), std::to_string(number)};
}

std::string format_link_address(std::string_view host, std::uint16_t port) {
  const bool brackets = host.find(':') != std::string_view::npos;
  return (brackets ? "[" : "") + std::string(host) + (brackets ? "]:" : ":") + std::to_string(port);
}

}  // namespace gantry::model
