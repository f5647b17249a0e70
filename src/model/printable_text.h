// Text from inside a guest is shown to people and kept in records: it must be short, valid UTF-8 and unable to deceive.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gantry::qemu {

// At most `bytes_max` bytes of valid UTF-8; each broken byte, control character and character that changes the
// direction of text or cannot be seen is a "?".
std::string printable_text(std::string_view text, std::size_t bytes_max);

}  // namespace gantry::qemu
