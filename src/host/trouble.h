// What went wrong with one object last, and when to try again.
#pragma once

#include <algorithm>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "gantry/v1/meta.pb.h"

namespace gantry::host {

struct Trouble {
  v1::Problem problem;
  // Trying again is of no use until something else is asked for.
  bool definite = false;
  // The operation that ended by it; empty: none, or one the host has no name for.
  std::string operation_id;
  std::uint32_t attempts = 0;
  // Monotonic.
  Milliseconds not_before_ms = 0;
};

using MaybeTrouble = std::optional<Trouble>;

// May work when tried again, without anybody changing anything.
bool is_transient(const Error& error);

// How often a failure that may heal by itself is tried again before it is definite.
enum class Tries { none, some, endless };

// Its sentences are cut to what people read, and made valid UTF-8.
v1::Problem make_problem(std::string code, const std::string& summary, const std::string& cause,
                         const std::string& next_step, Now now);
v1::Problem to_problem(const Error& error, Now now);

// Records a failure: the next attempt waits 1 s, then twice as long each time, up to 30 s. The time of the first
// failure of a row stays in `problem.since`. With `some`, what is not transient is definite at once, and anything after
// eight failures in a row (one minute and a half), so that every task ends.
void note_failure(MaybeTrouble& trouble, const Error& error, std::string operation_id, Now now,
                  Tries tries = Tries::some);

// When `trouble` asks to wait longer: until then.
std::optional<Milliseconds> waits_until(const MaybeTrouble& trouble, Now now);

// The earlier of two times that may be missing.
std::optional<Milliseconds> earlier(std::optional<Milliseconds> a, std::optional<Milliseconds> b);

}  // namespace gantry::host
