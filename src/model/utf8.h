// UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing beyond U+10FFFF.
#pragma once

#include <cstddef>
#include <string_view>

namespace gantry::model {

struct Utf8Character {
  char32_t code = 0;
  // 0: what stands there is no character.
  std::size_t bytes = 0;
};

// The first character of a text that is not empty.
Utf8Character first_character(std::string_view text);

bool is_utf8(std::string_view text);

}  // namespace gantry::model
