// Text from outside (a guest, QEMU, a helper program that read a guest's file) is shown to people and kept in records:
// it must be short, valid UTF-8 and unable to deceive.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gantry::model {

enum class Lines { one, several };

// At most `bytes_max` bytes of valid UTF-8; each broken byte, control character and character that changes the
// direction of text or cannot be seen is a "?". With `several` a line feed stays.
std::string printable_text(std::string_view text, std::size_t bytes_max, Lines lines = Lines::one);

}  // namespace gantry::model
