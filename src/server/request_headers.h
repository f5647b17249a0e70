// The request headers the API gives a meaning to.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "server/http.h"

namespace gantry::server {

// `"123"` -> 123; "" and "*" -> 0 (none). Anything else is invalid_argument.
Result<std::uint64_t> parse_if_match(const std::string& text);

// Whether If-None-Match names that revision ("*" names all).
bool names_revision(const std::string& if_none_match, std::uint64_t revision);

// 1 to 128 printable ASCII characters without "/" and spaces; "" is none.
Result<std::string> parse_idempotency_key(const std::string& text);

// media_type unless the body is JSON or of no declared type.
Result<void> check_content_type(const HttpRequest& request);

// The revision to resume after: Last-Event-ID goes before the query's; "" -> `from_query`.
Result<std::uint64_t> parse_last_event_id(const std::string& text, std::uint64_t from_query);

}  // namespace gantry::server
