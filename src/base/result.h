// A value or the reason there is none. No exception crosses a room's border: functions that can fail return Result.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

#include "base/time.h"

namespace gantry {

// The kind of a failure, as far as callers act on it. The words for people stand beside it in Error.
enum class ErrorCode {
  invalid_argument,  // the request makes no sense, whatever the state
  not_found,
  already_exists,
  conflict,  // the state does not allow it now
  permission_denied,
  unauthenticated,
  out_of_space,
  corrupt,  // data is there but damaged
  cancelled,
  timed_out,
  unavailable,  // may work when tried again
  unsupported,  // this machine or build cannot do it
  internal,     // a defect of Gantry
};

// The word scripts see: "invalid_argument"...
std::string_view to_string(ErrorCode code);

// Says what failed and on what, why, and what to do next; each a sentence or a clause fit for a person.
struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string summary;
  std::string cause = {};
  std::string next_step = {};
  // A stable word more exact than `code` ("pool_full"); empty: `code` serves.
  std::string reason = {};
  // How soon it may be worth to try again; 0: nobody knows.
  Milliseconds retry_after_ms = 0;

  // All of it on one line, for logs.
  [[nodiscard]] std::string to_text() const;
  // The word for scripts: `reason`, or the code's.
  [[nodiscard]] std::string word() const;
};

template <class T, class E = Error>
using Result = tl::expected<T, E>;

// For returning a failure from a function with a Result: `return fail(ErrorCode::not_found, "no VM \"web\"");`
inline tl::unexpected<Error> fail(ErrorCode code, std::string summary, std::string cause = {},
                                  std::string next_step = {}, std::string reason = {}) {
  return tl::unexpected<Error>(
      Error{code, std::move(summary), std::move(cause), std::move(next_step), std::move(reason)});
}

inline tl::unexpected<Error> fail(Error error) { return tl::unexpected<Error>(std::move(error)); }

}  // namespace gantry
