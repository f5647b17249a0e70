// Serial consoles of guests on this host.
//
// Threads: any thread may call; callbacks come on a thread of the console's, one at a time for one session.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::port {

// Several sessions may watch one console; all may type. Ends when destroyed.
class ConsoleSession {
 public:
  virtual ~ConsoleSession() = default;
  // Typed by the user. Dropped if the guest does not read.
  virtual void write(std::string_view bytes) = 0;
};

class Console {
 public:
  virtual ~Console() = default;
  // First replays the last output kept (64 KiB), then what comes; `closed` once when the guest's console ends.
  virtual Result<std::unique_ptr<ConsoleSession>> open(const std::string& vm_id,
                                                       std::function<void(std::string_view bytes)> output,
                                                       std::function<void()> closed) = 0;
};

}  // namespace gantry::port
