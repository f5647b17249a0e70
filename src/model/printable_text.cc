#include "model/printable_text.h"

#include "model/utf8.h"

namespace gantry::model {
namespace {

bool is_printable(char32_t code) {
  const auto within = [code](char32_t first, char32_t last) { return code >= first && code <= last; };
  return !within(0, 0x1f) && !within(0x7f, 0x9f) && code != 0xad && code != 0x61c && code != 0x180e &&
         !within(0x200b, 0x200f) && !within(0x2028, 0x202e) && !within(0x2060, 0x206f) && code != 0xfeff &&
         !within(0xfff0, 0xfffb) && !within(0xe0000, 0xe0fff) && (code & 0xfffeU) != 0xfffe;
}

}  // namespace

std::string printable_text(std::string_view text, std::size_t bytes_max, Lines lines) {
  std::string printable;
  while (!text.empty()) {
    const Utf8Character character = first_character(text);
    const bool kept = lines == Lines::several && character.code == U'\n';
    const bool good = character.bytes > 0 && (kept || is_printable(character.code));
    const std::string_view shown = good ? text.substr(0, character.bytes) : "?";
    if (printable.size() + shown.size() > bytes_max) break;
    printable += shown;
    text.remove_prefix(character.bytes > 0 ? character.bytes : 1);
  }
  return printable;
}

}  // namespace gantry::model
