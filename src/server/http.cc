#include "server/http.h"

#include <map>
#include <string_view>

#include "gantry/v1/routes.pb.h"
#include "server/json.h"

namespace gantry::server {
namespace {

unsigned status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return 400;
    case ErrorCode::unauthenticated: return 401;
    case ErrorCode::permission_denied: return 403;
    case ErrorCode::not_found: return 404;
    case ErrorCode::already_exists:
    case ErrorCode::conflict:
    case ErrorCode::cancelled: return 409;
    case ErrorCode::corrupt:
    case ErrorCode::unsupported: return 422;
    case ErrorCode::internal: return 500;
    case ErrorCode::unavailable: return 503;
    case ErrorCode::timed_out: return 504;
    case ErrorCode::out_of_space: return 507;
  }
  return 500;
}

}  // namespace

std::string HttpRequest::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string() : found->second;
}

unsigned status_of(const Error& error) {
  static const std::map<std::string_view, unsigned> by_reason = {
      {"revision_changed", 412}, {"nothing_to_match", 412},   {"too_many_attempts", 429}, {"body_too_large", 413},
      {"media_type", 415},       {"method_not_allowed", 405}, {"header_too_large", 431},
  };
  const auto found = by_reason.find(error.reason);
  return found == by_reason.end() ? status_of(error.code) : found->second;
}

HttpAnswer answer_for(const Error& error) {
  HttpAnswer answer;
  answer.status = status_of(error);
  v1::ErrorAnswer body;
  body.set_status(answer.status);
  body.set_code(error.word());
  body.set_summary(error.summary);
  body.set_cause(error.cause);
  body.set_next_step(error.next_step);
  answer.body = write_json(body);
  if (answer.status == 401) answer.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"gantry\"");
  if (answer.status == 429 || answer.status == 503) {
    answer.headers.emplace_back("Retry-After", std::to_string(error.retry_after_ms / 1000 + 1));
  }
  return answer;
}

const std::vector<std::pair<std::string, std::string>>& security_headers() {
  static const std::vector<std::pair<std::string, std::string>> headers = {
      {"X-Content-Type-Options", "nosniff"},
      {"X-Frame-Options", "DENY"},
      {"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
      {"Referrer-Policy", "no-referrer"},
  };
  return headers;
}

}  // namespace gantry::server
