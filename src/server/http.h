// Requests and answers as the API's logic sees them, free of any HTTP library.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace gantry::server {

struct HttpRequest {
  // "GET"...; upper case.
  std::string method;
  // Path and query as sent.
  std::string target;
  // Names in lower case; values of repeated headers are joined by ", ".
  std::map<std::string, std::string> headers;
  std::string body;
  // The client's address without port.
  std::string peer;

  // Empty when there is none.
  [[nodiscard]] std::string header(const std::string& name) const;
};

struct HttpAnswer {
  unsigned status = 200;
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};
  std::string content_type = "application/json";
};

// The status of an error. By reason where one says more than the code:
//   revision_changed 412, too_many_attempts 429, body_too_large 413, media_type 415, method_not_allowed 405,
//   header_too_large 431;
// else by code:
//   invalid_argument 400, unauthenticated 401, permission_denied 403, not_found 404, already_exists 409, conflict 409,
//   cancelled 409, corrupt 422, unsupported 422, internal 500, unavailable 503, timed_out 504, out_of_space 507.
unsigned status_of(const Error& error);

// An ErrorAnswer as JSON, with WWW-Authenticate on 401 and Retry-After on 429 and 503.
HttpAnswer answer_for(const Error& error);

// What every answer carries: no sniffing, no framing, no scripts, no referrer, no caching without asking again.
// (No Strict-Transport-Security: on "localhost" it would bind servers of other people on other ports.)
const std::vector<std::pair<std::string, std::string>>& security_headers();

}  // namespace gantry::server
