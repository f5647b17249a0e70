#include "server/request_headers.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace gantry::server {
namespace {

std::optional<std::uint64_t> number_of(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

tl::unexpected<Error> bad_header(const std::string& name, std::string cause, std::string next_step) {
  return fail(ErrorCode::invalid_argument, "the header " + name + " cannot be used", std::move(cause),
              std::move(next_step));
}

}  // namespace

Result<std::uint64_t> parse_if_match(const std::string& text) {
  const std::string_view value = trimmed(text);
  if (value.empty() || value == "*") return 0;
  const bool quoted = value.size() > 2 && value.front() == '"' && value.back() == '"';
  const auto revision = quoted ? number_of(value.substr(1, value.size() - 2)) : std::nullopt;
  if (!revision || *revision == 0) {
    return bad_header("If-Match", "it is not one ETag of Gantry's", "give the ETag as a GET of the record answered it");
  }
  return *revision;
}

bool names_revision(const std::string& if_none_match, std::uint64_t revision) {
  std::string_view rest = if_none_match;
  const std::string etag = "\"" + std::to_string(revision) + "\"";
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    std::string_view one = trimmed(rest.substr(0, comma));
    if (one.substr(0, 2) == "W/") one.remove_prefix(2);
    if (one == etag || one == "*") return true;
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  }
  return false;
}

Result<std::string> parse_idempotency_key(const std::string& text) {
  const auto usable = [](char c) { return c > ' ' && c < 0x7F && c != '/'; };
  if (text.size() > 128 || !std::all_of(text.begin(), text.end(), usable)) {
    return bad_header("Idempotency-Key", "it must be 1 to 128 printable ASCII characters without \"/\" and spaces",
                      "a random UUID serves well");
  }
  return text;
}

Result<void> check_content_type(const HttpRequest& request) {
  const std::string declared = request.header("content-type");
  if (request.body.empty() || declared.empty()) return {};
  std::string type(trimmed(std::string_view(declared).substr(0, declared.find(';'))));
  std::transform(type.begin(), type.end(), type.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  if (type == "application/json") return {};
  return fail(ErrorCode::invalid_argument, "the body of the request cannot be used", "it is not declared to be JSON",
              "send it with Content-Type: application/json", "media_type");
}

Result<std::uint64_t> parse_last_event_id(const std::string& text, std::uint64_t from_query) {
  if (text.empty()) return from_query;
  const auto revision = number_of(text);
  if (!revision) return bad_header("Last-Event-ID", "it is not a revision", "give the id of the last event you got");
  return *revision;
}

}  // namespace gantry::server
