#include "model/check.h"

#include <algorithm>

#include "model/names.h"
#include "model/utf8.h"

namespace gantry::model {
namespace {

bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

}  // namespace

tl::unexpected<Error> bad_field(std::string_view field, std::string why, std::string next_step) {
  return fail(ErrorCode::invalid_argument, "the field " + std::string(field) + " is wrong", std::move(why),
              std::move(next_step), "invalid_field");
}

Checked check_name(std::string_view field, std::string_view name) {
  if (is_name(name)) return {};
  if (name.empty()) return bad_field(field, "it is empty", "give a name");
  return bad_field(field, "a name is 1 to 63 of a-z, 0-9 and \"-\", begins with a letter and does not end with \"-\"",
                   "try \"" + to_name(name) + "\"");
}

Checked check_reference(std::string_view field, std::string_view text, bool required) {
  if (text.empty()) {
    if (required) return bad_field(field, "it is empty", "give a name or an id");
    return {};
  }
  if (is_name(text)) return {};
  return bad_field(field, "it is neither a name nor an id", "give the name or id of an existing record");
}

Checked check_range(std::string_view field, std::uint64_t value, std::uint64_t first, std::uint64_t last) {
  if (value >= first && value <= last) return {};
  return bad_field(field,
                   std::to_string(value) + " is not within " + std::to_string(first) + " and " + std::to_string(last),
                   value < first ? "give at least " + std::to_string(first) : "give at most " + std::to_string(last));
}

Checked check_length(std::string_view field, std::string_view text, std::size_t bytes_max) {
  if (text.size() > bytes_max) {
    return bad_field(field, "it has " + std::to_string(text.size()) + " bytes, more than " + std::to_string(bytes_max),
                     "shorten it");
  }
  if (!is_utf8(text)) return bad_field(field, "it is not valid UTF-8", "encode it as UTF-8");
  return {};
}

Checked check_line(std::string_view field, std::string_view text, std::size_t bytes_max) {
  GANTRY_CHECK(check_length(field, text, bytes_max));
  const auto is_control = [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; };
  if (std::any_of(text.begin(), text.end(), is_control))
    return bad_field(field, "it has control characters in it", "write it on one line, without them");
  return {};
}

Checked check_directory(std::string_view field, std::string_view path) {
  constexpr std::string_view kHint = "give an absolute path like \"/srv/gantry\"";
  if (path.size() < 2 || path.front() != '/') return bad_field(field, "it is not an absolute path", std::string(kHint));
  if (path.size() > 512) return bad_field(field, "it is longer than 512 bytes", "use a shorter path");
  const auto fine = [](char c) { return is_alnum(c) || c == '/' || c == '-' || c == '_' || c == '.' || c == '+'; };
  if (!std::all_of(path.begin(), path.end(), fine)) {
    return bad_field(field, "only letters, digits and \"/-_.+\" may stand in it", "use another directory");
  }
  std::string_view rest = path.substr(1);
  while (true) {
    const std::size_t slash = rest.find('/');
    const std::string_view part = rest.substr(0, slash);
    if (part.empty() || part == "." || part == "..") {
      return bad_field(field, "it has an empty, \".\" or \"..\" part", "write the path out, without \"/\" at its end");
    }
    if (slash == std::string_view::npos) return {};
    rest.remove_prefix(slash + 1);
  }
}

Checked check_dns_name(std::string_view field, std::string_view name) {
  if (is_dns_name(name)) return {};
  return bad_field(field, "it is not a DNS name", "use letters, digits and \"-\", in parts joined by \".\"");
}

bool is_dns_label(std::string_view label) {
  if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') return false;
  return std::all_of(label.begin(), label.end(), [](char c) { return is_alnum(c) || c == '-'; });
}

bool is_dns_name(std::string_view name) {
  if (name.size() > 253) return false;
  while (true) {
    const std::size_t dot = name.find('.');
    if (!is_dns_label(name.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    name.remove_prefix(dot + 1);
  }
}

bool is_sha256_hex(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

bool is_cpu_model(std::string_view text) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
  return !text.empty() && text.size() <= 63 && text.find_first_not_of(kLetters) == std::string_view::npos;
}

}  // namespace gantry::model
