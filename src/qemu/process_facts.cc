#include "qemu/process_facts.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>

#include "runtime/files.h"

namespace gantry::qemu {

std::optional<ProcessFacts> process_facts(pid_t pid) {
  const auto stat = runtime::read_file("/proc/" + std::to_string(pid) + "/stat");
  if (!stat) return std::nullopt;
  // "PID (NAME) STATE ..." with the start time as 22nd field; NAME may hold anything, ")" too. See proc(5).
  const std::size_t name_end = stat->rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(stat->substr(name_end + 1));
  ProcessFacts facts;
  fields >> facts.state;
  std::string skipped;
  for (int field = 4; field < 22; ++field) fields >> skipped;
  fields >> facts.start_ticks;
  if (!fields) return std::nullopt;
  return facts;
}

std::string machine_boot_id() {
  auto id = runtime::read_file("/proc/sys/kernel/random/boot_id").value_or("");
  while (!id.empty() && id.back() == '\n') id.pop_back();
  return id;
}

Result<UniqueFd> open_pidfd(pid_t pid) {
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid()) return fail(runtime::errno_error("cannot watch process " + std::to_string(pid), errno));
  return pidfd;
}

void send_signal(const UniqueFd& pidfd, int signal) {
  ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0);
}

std::optional<int> reap(const UniqueFd& pidfd) {
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0) {
    return std::nullopt;
  }
  // In the form waitpid gives.
  return info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status & 0x7f;
}

}  // namespace gantry::qemu
