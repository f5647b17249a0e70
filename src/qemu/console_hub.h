// Serial consoles: one connection to each guest's serial port, shared by any number of sessions.
//
// Threads: open() and sessions from any thread; callbacks come on the loop. The loop outlives the hub and its sessions;
// it is destroyed, and attach() is called, on the loop (or after the loop stopped).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "port/console.h"

namespace gantry::runtime {
class EventLoop;
}

namespace gantry::qemu {

class ConsoleLine;

class ConsoleHub final : public port::Console {
 public:
  explicit ConsoleHub(runtime::EventLoop& loop);
  ~ConsoleHub() override;
  ConsoleHub(const ConsoleHub&) = delete;
  ConsoleHub& operator=(const ConsoleHub&) = delete;

  // Until the guest closes its end. `replay` is what it said before. `on_log_grown` is called for each MiB it said.
  void attach(const std::string& vm_id, UniqueFd connected, std::string replay, std::function<void()> on_log_grown);

  // conflict when the guest does not run.
  Result<std::unique_ptr<port::ConsoleSession>> open(const std::string& vm_id,
                                                     std::function<void(std::string_view bytes)> output,
                                                     std::function<void()> closed) override;

 private:
  runtime::EventLoop& loop_;
  std::mutex mutex_;
  // Guarded by the mutex; a line is used on the loop only.
  std::map<std::string, std::shared_ptr<ConsoleLine>> lines_;
};

}  // namespace gantry::qemu
