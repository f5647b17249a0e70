// FNV-1a, 64 bits (http://www.isthe.com/chongo/tech/comp/fnv/): the same in every version of Gantry and everywhere.
// Whoever chooses the texts can make two of them alike.
#pragma once

#include <cstdint>
#include <string_view>

namespace gantry {

inline constexpr std::uint64_t kFnvBeginning = 0xcbf29ce484222325U;

// Goes on from `hash`, of what came before.
constexpr std::uint64_t fnv1a(std::string_view text, std::uint64_t hash = kFnvBeginning) {
  for (const char letter : text) {
    hash ^= static_cast<unsigned char>(letter);
    hash *= 0x100000001b3U;
  }
  return hash;
}

}  // namespace gantry
