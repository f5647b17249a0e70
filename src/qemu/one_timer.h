// A timer on the loop of which at most one runs: what was armed before never calls back once it is armed anew.
//
// Threads: used on the loop's thread, and calls back there.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "base/time.h"
#include "port/executor.h"

namespace gantry::qemu {

class OneTimer {
 public:
  explicit OneTimer(port::Executor& loop) : loop_(loop) {}
  OneTimer(const OneTimer&) = delete;
  OneTimer& operator=(const OneTimer&) = delete;
  ~OneTimer() { disarm(); }

  // Calls `work` once, `delay_ms` from now, in place of what was armed before.
  void arm(Milliseconds delay_ms, std::function<void()> work) {
    const std::uint64_t number = ++*number_;
    loop_.post_after(delay_ms, [number, current = number_, work = std::move(work)] {
      if (*current == number) work();
    });
  }
  void disarm() { ++*number_; }

 private:
  port::Executor& loop_;
  // Of the one that counts; outlives this, as the loop's own timers do.
  std::shared_ptr<std::uint64_t> number_ = std::make_shared<std::uint64_t>(0);
};

}  // namespace gantry::qemu
