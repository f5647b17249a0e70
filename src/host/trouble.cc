#include "host/trouble.h"

#include <utility>

#include "model/printable_text.h"

namespace gantry::host {
namespace {
constexpr Milliseconds kFirstRetryMs = 1'000;
constexpr Milliseconds kLastRetryMs = 30'000;
constexpr std::uint32_t kAttempts = 8;
// A problem is kept in the store and shown to people, and what it quotes may come out of a guest's process or file.
constexpr std::size_t kSentenceBytesMax = 500;
constexpr std::size_t kCauseBytesMax = 2'000;

std::string sentence(const std::string& text) {
  return model::printable_text(text, kSentenceBytesMax, model::Lines::several);
}

bool is_definite(const Error& error, std::uint32_t attempts, Tries tries) {
  if (tries == Tries::some) return attempts >= kAttempts || !is_transient(error);
  return tries == Tries::none;
}

}  // namespace

bool is_transient(const Error& error) {
  // Most conflicts last until somebody changes something: a port or a segment that is taken. These end with a guest.
  if (error.code == ErrorCode::conflict) {
    return error.reason == "volume_in_use" || error.reason == "network_in_use" || error.reason == "guest_process_lives";
  }
  return error.code == ErrorCode::unavailable || error.code == ErrorCode::timed_out ||
         error.code == ErrorCode::cancelled;
}

v1::Problem make_problem(std::string code, const std::string& summary, const std::string& cause,
                         const std::string& next_step, Now now) {
  v1::Problem problem;
  problem.set_code(std::move(code));
  problem.set_summary(sentence(summary));
  problem.set_cause(model::printable_text(cause, kCauseBytesMax, model::Lines::several));
  problem.set_next_step(sentence(next_step));
  problem.mutable_since()->set_seconds(now.unix_ms / 1000);
  return problem;
}

v1::Problem to_problem(const Error& error, Now now) {
  return make_problem(error.word(), error.summary, error.cause, error.next_step, now);
}

void note_failure(MaybeTrouble& trouble, const Error& error, std::string operation_id, Now now, Tries tries) {
  Trouble next;
  next.problem = to_problem(error, now);
  next.operation_id = std::move(operation_id);
  if (trouble) {
    if (trouble->operation_id == next.operation_id) next.attempts = trouble->attempts;
    if (trouble->problem.code() == next.problem.code()) *next.problem.mutable_since() = trouble->problem.since();
  }
  const Milliseconds delay_ms = std::min(kLastRetryMs, kFirstRetryMs << std::min(next.attempts, 10U));
  next.attempts += 1;
  next.definite = is_definite(error, next.attempts, tries);
  next.not_before_ms = now.monotonic_ms + delay_ms;
  trouble = std::move(next);
}

std::optional<Milliseconds> waits_until(const MaybeTrouble& trouble, Now now) {
  if (!trouble || trouble->not_before_ms <= now.monotonic_ms) return std::nullopt;
  return trouble->not_before_ms;
}

std::optional<Milliseconds> earlier(std::optional<Milliseconds> a, std::optional<Milliseconds> b) {
  if (!a) return b;
  if (!b) return a;
  return std::min(*a, *b);
}

}  // namespace gantry::host
