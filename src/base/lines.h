// The lines of a text, one by one.
#pragma once

#include <algorithm>
#include <string_view>

namespace gantry {

// Calls `take` with each, without its end; the last may have none.
template <class Take>
void for_each_line(std::string_view text, Take take) {
  while (!text.empty()) {
    const std::size_t size = std::min(text.find('\n'), text.size());
    take(text.substr(0, size));
    text.remove_prefix(std::min(size + 1, text.size()));
  }
}

}  // namespace gantry
