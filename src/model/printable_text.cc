#include "qemu/guest_agent_text.h"

#include <array>
#include <cstdint>

namespace gantry::qemu {
namespace {

struct Character {
  char32_t code = 0;
  std::size_t bytes = 0;  // 0: broken
};

// The first character of a text that is not empty (RFC 3629).
Character decode(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = at(0);
  if (first < 0x80) return {first, 1};
  const std::size_t bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < bytes) return {};
  char32_t code = first & (0x7fU >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((at(i) & 0xc0U) != 0x80) return {};
    code = (code << 6U) | (at(i) & 0x3fU);
  }
  constexpr std::array<char32_t, 5> kFirstOfLength = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kFirstOfLength[bytes] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return {};
  return {code, bytes};
}

bool is_printable(char32_t code) {
  const auto within = [code](char32_t first, char32_t last) { return code >= first && code <= last; };
  return !within(0, 0x1f) && !within(0x7f, 0x9f) && code != 0xad && code != 0x61c && code != 0x180e &&
         !within(0x200b, 0x200f) && !within(0x2028, 0x202e) && !within(0x2060, 0x206f) && code != 0xfeff &&
         !within(0xfff0, 0xfffb) && !within(0xe0000, 0xe0fff) && (code & 0xfffeU) != 0xfffe;
}

}  // namespace

std::string printable_text(std::string_view text, std::size_t bytes_max) {
  std::string printable;
  while (!text.empty()) {
    const Character character = decode(text);
    const bool good = character.bytes > 0 && is_printable(character.code);
    const std::string_view shown = good ? text.substr(0, character.bytes) : "?";
    if (printable.size() + shown.size() > bytes_max) break;
    printable += shown;
    text.remove_prefix(character.bytes > 0 ? character.bytes : 1);
  }
  return printable;
}

}  // namespace gantry::qemu
