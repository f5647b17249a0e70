// Virtual time: everything that happens is an event, run one at a time in order of time and then of scheduling.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <vector>

#include "port/executor.h"
#include "sim/machine_clock.h"

namespace gantry::sim {

class Scheduler {
 public:
  void at(Milliseconds delay_ms, std::function<void()> work);
  // The next event; false when there is none.
  bool step();
  // True time.
  [[nodiscard]] Now now() const { return now_by({}); }
  [[nodiscard]] Now now_by(const MachineClock& clock) const {
    const Milliseconds shown_ms = clock.shown_at(now_ms_);
    return {.monotonic_ms = shown_ms, .unix_ms = kEpochMs + clock.ahead_ms() + shown_ms};
  }
  [[nodiscard]] std::uint64_t events() const { return events_; }

 private:
  // 2026-01-01.
  static constexpr Milliseconds kEpochMs = 1'767'225'600'000;
  struct Event {
    Milliseconds time_ms = 0;
    std::uint64_t order = 0;
    std::shared_ptr<std::function<void()>> work;
  };
  struct Later {
    bool operator()(const Event& a, const Event& b) const {
      return a.time_ms != b.time_ms ? a.time_ms > b.time_ms : a.order > b.order;
    }
  };
  std::priority_queue<Event, std::vector<Event>, Later> queue_;
  Milliseconds now_ms_ = 0;
  std::uint64_t order_ = 0;
  std::uint64_t events_ = 0;
};

// The loop of one process of the rehearsal, by its machine's clock: when it is destroyed, what it still had to do never
// happens.
class SimExecutor final : public port::Executor {
 public:
  explicit SimExecutor(Scheduler& scheduler, MachineClock clock = {}) : scheduler_(scheduler), clock_(clock) {}
  void post(std::function<void()> work) override { post_after(0, std::move(work)); }
  void post_after(Milliseconds delay_ms, std::function<void()> work) override;
  [[nodiscard]] Now now() const override { return scheduler_.now_by(clock_); }

 private:
  Scheduler& scheduler_;
  MachineClock clock_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gantry::sim
