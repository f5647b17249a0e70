// What the kernel says about a process. Blocks hardly: procfs only.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace gantry::qemu {

struct ProcessFacts {
  // 'Z' and 'X': it has ended.
  char state = 'X';
  // Since the machine's boot: tells it from a later process with the same number.
  std::uint64_t start_ticks = 0;
};

std::optional<ProcessFacts> process_facts(pid_t pid);
// Another one after each boot of the machine.
std::string machine_boot_id();

Result<UniqueFd> open_pidfd(pid_t pid);
void send_signal(const UniqueFd& pidfd, int signal);
// The wait status of an ended child; nothing when it is not our child or has not ended. Reaps it.
std::optional<int> reap(const UniqueFd& pidfd);

}  // namespace gantry::qemu
