#include "model/mac.h"

#include <cstdint>

namespace gantry::model {
namespace {

constexpr std::string_view kDigits = "0123456789abcdef";
constexpr std::size_t kTextLength = 17;

std::string lower_case(std::string_view text) {
  std::string result(text);
  for (char& letter : result) {
    if (letter >= 'A' && letter <= 'F') letter = static_cast<char>(letter - 'A' + 'a');
  }
  return result;
}

bool has_form(std::string_view text) {
  if (text.size() != kTextLength) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool fits = i % 3 == 2 ? text[i] == ':' : kDigits.find(text[i]) != std::string_view::npos;
    if (!fits) return false;
  }
  return true;
}

// The lowest bit of the first byte marks multicast.
bool is_multicast(std::string_view text) { return kDigits.find(text[1]) % 2 == 1; }

}  // namespace

std::string make_mac(Rng& rng) {
  std::string mac = "52:54:00";
  for (int i = 0; i < 3; ++i) {
    const std::uint64_t byte = rng.below(256);
    mac += ':';
    mac += kDigits[byte >> 4U];
    mac += kDigits[byte & 0xfU];
  }
  return mac;
}

Result<std::string> parse_mac(std::string_view text) {
  std::string mac = lower_case(text);
  const std::string summary = "\"" + std::string(text) + "\" cannot be a network card's MAC address";
  constexpr const char* kNext = "write it like 52:54:00:1a:2b:3c, or leave it out and one is given";
  if (!has_form(mac)) return fail(ErrorCode::invalid_argument, summary, "it is not six bytes in hexadecimal", kNext);
  if (is_multicast(mac)) {
    return fail(ErrorCode::invalid_argument, summary, "the lowest bit of its first byte makes it a group's", kNext);
  }
  if (mac == "00:00:00:00:00:00") return fail(ErrorCode::invalid_argument, summary, "it is all zeros", kNext);
  return mac;
}

}  // namespace gantry::model
