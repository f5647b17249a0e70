// How a boot ended, told from what is left of it. Pure.
//
// QEMU is started with two of its trace points on (see command_line.cc), so its error output tells when the guest began
// to run and why it shut down, even when no agent was there to hear the SHUTDOWN event. The numbers are those of enum
// ShutdownCause in QEMU's qapi/run-state.json.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "gantry/v1/vm.pb.h"

namespace gantry::qemu {

struct ExitEvidence {
  // The end of what QEMU wrote.
  std::string error_output;
  // Gantry was ending it.
  bool forced = false;
  // Known to have run the guest.
  bool ran = false;
  // As waitpid tells it; nothing when it was not our child.
  std::optional<int> wait_status = {};
};

// `reason` and `last_words`.
v1::VmExit judge_exit(const ExitEvidence& evidence);

// Whether QEMU wrote that its guest's processors ran.
bool tells_of_running(std::string_view error_output);

// The end of what QEMU wrote for people: without trace lines, valid UTF-8.
std::string last_words(std::string_view error_output);

}  // namespace gantry::qemu
