#include "model/rbd_location.h"

#include <algorithm>

namespace gantry::model {
namespace {

constexpr std::string_view kScheme = "rbd:";
constexpr std::size_t kNameMax = 128;

bool may_be_in_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

bool is_rbd_name_or_none(std::string_view text) { return text.empty() || is_rbd_name(text); }

// What stands before `end`, which is taken away with it; all when there is no `end`.
std::string take_until(std::string_view& rest, char end) {
  const std::size_t at = std::min(rest.find(end), rest.size());
  std::string taken(rest.substr(0, at));
  rest.remove_prefix(std::min(at + 1, rest.size()));
  return taken;
}

}  // namespace

bool is_rbd_name(std::string_view text) {
  return !text.empty() && text.size() <= kNameMax && std::ranges::all_of(text, may_be_in_name);
}

std::string to_text(const RbdLocation& location) {
  return std::string(kScheme) + location.user + "@" + location.pool + "/" + location.name_space + "/" + location.image +
         ":" + location.configuration;
}

std::optional<RbdLocation> rbd_location(std::string_view text) {
  if (!text.starts_with(kScheme)) return std::nullopt;
  text.remove_prefix(kScheme.size());
  RbdLocation location;
  location.user = take_until(text, '@');
  location.pool = take_until(text, '/');
  location.name_space = take_until(text, '/');
  location.image = take_until(text, ':');
  location.configuration = text;
  const bool is_right = is_rbd_name(location.user) && is_rbd_name(location.pool) &&
                        is_rbd_name_or_none(location.name_space) && is_rbd_name_or_none(location.image) &&
                        location.configuration.starts_with('/');
  return is_right ? std::optional(location) : std::nullopt;
}

}  // namespace gantry::model
