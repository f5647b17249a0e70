// Makes an unprivileged process that outlives the daemon, in two steps: first it only waits, so that it can be put into
// its cgroup and be written down; then it becomes the program. If the daemon dies between the steps, it ends.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace gantry::qemu {

struct LaunchRequest {
  // argv[0] is an absolute path.
  std::vector<std::string> argv;
  // They become 3, 4, 5...; the program gets no others but /dev/null as input and `error_output` as both outputs.
  std::vector<UniqueFd> descriptors;
  UniqueFd error_output;
  // A FIFO that the program keeps open for reading: the kernel freezes it (SIGSTOP) when nobody has that open for
  // writing any more. Not valid: nobody guards it.
  UniqueFd guard;
  // Its user and group, with no other groups but `extra_group`. 0: the daemon's own.
  std::uint32_t uid = 0;
  // One more group (the one that may use /dev/kvm); 0: none.
  std::uint32_t extra_group = 0;
};

inline constexpr int kFirstDescriptor = 3;

// Nobody guards the guest; QEMU did not run.
Error not_guarded(const std::string& what, int error_number);

// In a session of its own; no capabilities, nor ways to get any; no core dumps.
class GatedProcess {
 public:
  static Result<GatedProcess> make(LaunchRequest request);
  GatedProcess(GatedProcess&& other) noexcept;
  GatedProcess& operator=(GatedProcess&&) = delete;
  // Ends it unless it was released.
  ~GatedProcess();

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] const UniqueFd& pidfd() const { return pidfd_; }
  // Lets it become the program; answers once it has. Blocks a few milliseconds.
  Result<void> release();
  // Of a released process.
  UniqueFd take_pidfd() { return std::move(pidfd_); }

 private:
  GatedProcess(pid_t pid, UniqueFd pidfd, UniqueFd gate, UniqueFd failure)
      : pid_(pid), pidfd_(std::move(pidfd)), gate_(std::move(gate)), failure_(std::move(failure)) {}

  pid_t pid_;
  UniqueFd pidfd_;
  UniqueFd gate_;
  // Tells why it could not become the program; closed by success.
  UniqueFd failure_;
};

}  // namespace gantry::qemu
