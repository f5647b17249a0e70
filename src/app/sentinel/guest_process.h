// The QEMU process of a guest as the sentinel sees it: found by what the agent wrote down before QEMU began, paused,
// frozen, let go on and killed without the agent.
//
// Threads: known_process() blocks for the state directory's file system; the rest is used on the loop.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "qemu/event_io.h"
#include "qemu/qmp_connection.h"

namespace gantry::sentinel {

struct KnownProcess {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;
};

// What is written down of it, of this boot of the machine. Nothing: there is none. An error says nothing of whether
// there is one.
Result<std::optional<KnownProcess>> known_process(const std::string& state_directory, const std::string& vm_id);

struct FoundProcess {
  UniqueFd pidfd;
  // The kernel froze it when nobody guarded it.
  bool is_frozen = false;
};

// Nothing: it has ended.
Result<std::optional<FoundProcess>> find_process(const KnownProcess& known);

class GuestProcess : public std::enable_shared_from_this<GuestProcess> {
 public:
  GuestProcess(runtime::EventLoop& loop, std::string control_socket, UniqueFd pidfd)
      : loop_(loop), control_socket_(std::move(control_socket)), pidfd_(std::move(pidfd)) {}

  void watch_exit(std::function<void()> exited);
  // Stops the guest's processors; `done` says whether they ran before, or that QEMU did not do it.
  void stop(std::function<void(Result<bool> ran)> done);
  void resume();
  void freeze() const;
  void thaw() const;
  void kill() const;
  // For one whose guest went on elsewhere: QEMU ends by itself, so that what it has open in Ceph is free at once; and
  // if it does not soon, it is killed.
  void end();

 private:
  bool connect();
  void leave_control();

  runtime::EventLoop& loop_;
  std::string control_socket_;
  UniqueFd pidfd_;
  bool ends_ = false;
  std::unique_ptr<qemu::ReadableWatch> exit_watch_;
  std::shared_ptr<qemu::QmpConnection> qmp_;
};

}  // namespace gantry::sentinel
