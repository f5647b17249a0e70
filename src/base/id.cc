#include "base/id.h"

namespace gantry {
namespace {

// Without letters people confuse (i, l, o, u).
constexpr std::string_view kLetters = "0123456789abcdefghjkmnpqrstvwxyz";
constexpr std::size_t kLength = 12;

}  // namespace

std::string make_id(std::string_view prefix, Rng& rng) {
  std::string id(prefix);
  id += '-';
  for (std::size_t i = 0; i < kLength; ++i) id += kLetters[rng.below(kLetters.size())];
  return id;
}

bool is_id(std::string_view text, std::string_view prefix) {
  if (text.size() != prefix.size() + 1 + kLength) return false;
  if (text.substr(0, prefix.size()) != prefix || text[prefix.size()] != '-') return false;
  return text.find_first_not_of(kLetters, prefix.size() + 1) == std::string_view::npos;
}

}  // namespace gantry
