#include "base/result.h"

namespace gantry {

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return "invalid_argument";
    case ErrorCode::not_found: return "not_found";
    case ErrorCode::already_exists: return "already_exists";
    case ErrorCode::conflict: return "conflict";
    case ErrorCode::permission_denied: return "permission_denied";
    case ErrorCode::unauthenticated: return "unauthenticated";
    case ErrorCode::out_of_space: return "out_of_space";
    case ErrorCode::corrupt: return "corrupt";
    case ErrorCode::cancelled: return "cancelled";
    case ErrorCode::timed_out: return "timed_out";
    case ErrorCode::unavailable: return "unavailable";
    case ErrorCode::unsupported: return "unsupported";
    case ErrorCode::internal: return "internal";
  }
  return "internal";
}

std::string Error::to_text() const {
  std::string text = summary;
  if (!cause.empty()) text += ": " + cause;
  if (!next_step.empty()) text += " (" + next_step + ")";
  return text;
}

std::string Error::word() const { return reason.empty() ? std::string(to_string(code)) : reason; }

}  // namespace gantry
