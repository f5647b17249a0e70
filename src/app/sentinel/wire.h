// What the sentinel and its clients say to each other, and one sentinel process to the other: JSON, one message a line.
// Pure. Whoever speaks to the sentinel's socket is the daemon's own user; a line that makes no sense is an error, never
// a crash.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "host/guard.h"
#include "host/lease.h"
#include "port/sentinel.h"

namespace gantry::sentinel {

inline constexpr std::size_t kLineBytesMax = 1U << 20U;

// From a client.
struct Request {
  enum class Kind { want, remove };
  Kind kind = Kind::want;
  port::LeaseWish wish;
};

// To a client. `removed`: the answer to a `remove`, with `error` if it failed.
struct Answer {
  std::optional<port::LeaseObservation> lease;
  std::string removed_vm_id;
  std::optional<Error> error;
};

// One lease, from a sentinel process to the one that is to go on in its place.
struct Ward {
  port::LeaseWish wish;
  host::LeaseMemory memory;
  host::GuardState guard;
  // The guard is held open.
  bool guarded = false;
};

struct Handover {
  std::vector<Ward> wards;
  // Nothing is left to guard: both end.
  bool end = false;
};

std::string to_line(const Request& request);
std::string to_line(const Answer& answer);
std::string to_line(const Handover& handover);
Result<Request> parse_request(std::string_view line);
Result<Answer> parse_answer(std::string_view line);
Result<Handover> parse_handover(std::string_view line);

// Gives lines as their ends come.
class Lines {
 public:
  // False: a line is longer than kLineBytesMax.
  template <class Take>
  bool add(std::string_view bytes, Take take) {
    buffer_ += bytes;
    std::size_t begin = 0;
    for (std::size_t end = 0; (end = buffer_.find('\n', begin)) != std::string::npos; begin = end + 1) {
      take(std::string_view(buffer_).substr(begin, end - begin));
    }
    buffer_.erase(0, begin);
    return buffer_.size() <= kLineBytesMax;
  }

 private:
  std::string buffer_;
};

}  // namespace gantry::sentinel
