#include "model/names.h"

#include <algorithm>

namespace gantry::model {
namespace {
bool is_letter(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool may_stand_in_name(char c) { return is_letter(c) || is_digit(c) || c == '-'; }
}  // namespace

bool is_name(std::string_view text) {
  if (text.empty() || text.size() > kNameLengthMax) return false;
  return is_letter(text.front()) && text.back() != '-' && std::all_of(text.begin(), text.end(), may_stand_in_name);
}

std::string to_name(std::string_view text) {
  std::string name;
  for (char c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (!may_stand_in_name(c)) c = '-';
    if (name.empty() && !is_letter(c)) continue;
    if (c == '-' && name.back() == '-') continue;
    name += c;
    if (name.size() == kNameLengthMax) break;
  }
  while (!name.empty() && name.back() == '-') name.pop_back();
  return name.empty() ? "unnamed" : name;
}

std::string name_with_suffix(std::string_view base, std::string_view suffix) {
  const std::size_t room = kNameLengthMax - std::min(kNameLengthMax, suffix.size());
  std::string name(base.substr(0, room));
  while (!name.empty() && name.back() == '-') name.pop_back();
  return name + std::string(suffix);
}

}  // namespace gantry::model
