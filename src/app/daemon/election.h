// This machine's part in who leads, on a thread of its own: however busy the manager is, its lease is kept alive.
//
// Threads: made and destroyed on the main thread, which is woken (wake_main_thread) whenever something changes.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/result.h"
#include "control/leadership.h"
#include "port/store.h"
#include "runtime/event_loop.h"

namespace gantry::app {

// Who leads, as far as a manager that does not knows: what it tells its callers. Any thread.
class KnownLeader {
 public:
  void set(std::optional<v1::Leader> leader, std::string trouble);
  [[nodiscard]] Error refusal() const;

 private:
  mutable std::mutex mutex_;
  std::optional<v1::Leader> leader_;
  std::string trouble_ = "it has just started";
};

class Election {
 public:
  // All must outlive it; `loop`, which it runs, the store too: that still answers when the election is over.
  Election(runtime::EventLoop& loop, port::Store& store, KnownLeader& known, v1::Leader self);
  // Gives the lead up, if it has it, so that another takes over at once.
  ~Election();
  Election(const Election&) = delete;
  Election& operator=(const Election&) = delete;

  // Once it leads: what all its transactions must compare.
  [[nodiscard]] std::optional<port::Compare> fence() const;
  // Once it has lost: why.
  [[nodiscard]] std::optional<std::string> lost() const;

 private:
  control::LeadershipEvents events(KnownLeader& known);

  mutable std::mutex mutex_;
  std::optional<port::Compare> fence_;
  std::optional<std::string> lost_;
  runtime::EventLoop& loop_;
  control::Leadership leadership_;
  std::thread thread_;
};

}  // namespace gantry::app
