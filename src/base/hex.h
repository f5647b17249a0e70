// Bytes in hexadecimal, lower case.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gantry {

inline std::string to_hex(const unsigned char* bytes, std::size_t count) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(count * 2);
  for (std::size_t i = 0; i < count; ++i) {
    text += kDigits[bytes[i] >> 4U];
    text += kDigits[bytes[i] & 15U];
  }
  return text;
}

// Empty when the text is not pairs of lower-case digits.
inline std::string from_hex(std::string_view text) {
  std::string bytes;
  if (text.size() % 2 != 0) return bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    unsigned value = 0;
    for (const char digit : text.substr(i, 2)) {
      const bool letter = digit >= 'a' && digit <= 'f';
      if (!letter && (digit < '0' || digit > '9')) return {};
      value = value * 16 + static_cast<unsigned>(letter ? digit - 'a' + 10 : digit - '0');
    }
    bytes += static_cast<char>(value);
  }
  return bytes;
}

}  // namespace gantry
