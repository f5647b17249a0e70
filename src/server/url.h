// The target of a request: path segments and query parameters. RFC 3986.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gantry::server {

struct QueryParameter {
  std::string name;
  std::string value;
};

struct Target {
  // Decoded one by one, so that "%2F" is no separator. "/a/b" has two; "/" has one empty one.
  std::vector<std::string> segments;
  std::vector<QueryParameter> query;
};

// invalid_argument: broken escapes, control characters, or bytes that are no UTF-8 afterwards.
Result<std::string> percent_decode(std::string_view text, bool plus_is_space);

// Every byte that is not unreserved becomes %XX.
std::string percent_encode(std::string_view text);

// Only the origin form ("/path?query").
Result<Target> parse_target(std::string_view target);

}  // namespace gantry::server
