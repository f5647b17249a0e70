// How an agent's modelled calls go: they take their time, fail, and may be cut off by a crash. For the files of Agent.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "sim/agent.h"

namespace gantry::sim {

inline constexpr Milliseconds kSlowDiskMs = 15'000;

template <class Value>
void Agent::run(const std::string& what, Milliseconds usual_ms, std::function<Result<Value>()> effect,
                std::function<void(Result<Value>)> done, std::function<void()> when_crashed, bool may_fail) {
  const Fault fault = may_fail ? draw_fault() : Fault::none;
  const std::uint64_t call = ++calls_;
  if (!when_crashed && fault == Fault::none && rng_.chance(1, 2)) when_crashed = [effect] { effect(); };
  under_way_[call] = std::move(when_crashed);
  executor_.post_after(draw_delay(usual_ms),
                       [this, what, call, fault, effect = std::move(effect), done = std::move(done)] {
                         under_way_.erase(call);
                         if (fault == Fault::none) {
                           done(effect());
                         } else {
                           trace_.note("host", world_.setup.name + ": " + what + " fails");
                           done(fail(error_of(fault)));
                         }
                       });
}

template <class Value>
void Agent::run_on_disk(const std::string& what, Milliseconds usual_ms, std::function<Result<Value>()> effect,
                        std::function<void(Result<Value>)> done) {
  const Milliseconds now_ms = scheduler_.now().monotonic_ms;
  if (now_ms < world_.disk_slow_until_ms) usual_ms += kSlowDiskMs;
  if (now_ms >= world_.disk_fails_until_ms) return run(what, usual_ms, std::move(effect), std::move(done));
  executor_.post_after(draw_delay(usual_ms), [what, done = std::move(done)] {
    done(fail(ErrorCode::unavailable, what + " failed", "the disk gave an input/output error"));
  });
}

template <class Value>
void Agent::run_unless_deleted(const std::string& object, const std::string& what, Milliseconds usual_ms,
                               std::function<Result<Value>()> effect, std::function<void(Result<Value>)> done) {
  const auto answered = std::make_shared<bool>(false);
  const auto once = [answered, done = std::move(done)](const Result<Value>& result) {
    if (!std::exchange(*answered, true)) done(result);
  };
  const auto cut = std::make_shared<bool>(false);
  making_[object] = [cut, once, this] {
    *cut = true;
    executor_.post([once] { once(fail(ErrorCode::cancelled, "it is being deleted")); });
  };
  run_on_disk<Value>(
      what, usual_ms,
      [cut, effect = std::move(effect)]() -> Result<Value> {
        if (*cut) return fail(ErrorCode::cancelled, "it is being deleted");
        return effect();
      },
      [this, once, object](const Result<Value>& result) {
        making_.erase(object);
        once(result);
      });
}

}  // namespace gantry::sim
