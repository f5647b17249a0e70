#include "sim/scheduler.h"

#include <algorithm>

namespace gantry::sim {

void Scheduler::at(Milliseconds delay_ms, std::function<void()> work) {
  queue_.push({.time_ms = now_ms_ + std::max<Milliseconds>(0, delay_ms),
               .order = order_++,
               .work = std::make_shared<std::function<void()>>(std::move(work))});
}

bool Scheduler::step() {
  if (queue_.empty()) return false;
  const Event event = queue_.top();
  queue_.pop();
  now_ms_ = event.time_ms;
  ++events_;
  (*event.work)();
  return true;
}

void SimExecutor::post_after(Milliseconds delay_ms, std::function<void()> work) {
  const Milliseconds due_ms = clock_.true_time_of(now().monotonic_ms + std::max<Milliseconds>(0, delay_ms));
  scheduler_.at(due_ms - scheduler_.now().monotonic_ms, [alive = std::weak_ptr<bool>(alive_), work = std::move(work)] {
    if (!alive.expired()) work();
  });
}

}  // namespace gantry::sim
