#include "qemu/exit_cause.h"

#include <sys/wait.h>

#include <charconv>
#include <cstring>

#include "base/lines.h"

namespace gantry::qemu {
namespace {

constexpr std::size_t kLastWordsMax = 1000;
constexpr std::string_view kShutdownTrace = "qemu_system_shutdown_request reason=";
constexpr std::string_view kRunStateTrace = "runstate_set ";
constexpr std::string_view kRunning = "new_state 9 (running)";

constexpr int kHostQuit = 2;
constexpr int kHostSignal = 4;
constexpr int kGuestShutdown = 6;
constexpr int kGuestPanic = 8;

// The last shutdown cause told, 0 when none was.
int shutdown_cause(std::string_view error_output) {
  int cause = 0;
  for_each_line(error_output, [&](std::string_view line) {
    if (!line.starts_with(kShutdownTrace)) return;
    line.remove_prefix(kShutdownTrace.size());
    std::from_chars(line.data(), line.data() + line.size(), cause);
  });
  return cause;
}

std::string end_by_status(int status) {
  if (WIFSIGNALED(status)) {
    return "the QEMU process was ended by signal " + std::to_string(WTERMSIG(status)) + " (" +
           ::sigdescr_np(WTERMSIG(status)) + ")";
  }
  return "the QEMU process ended with status " + std::to_string(WEXITSTATUS(status));
}

std::string crash_words(const ExitEvidence& evidence, int cause) {
  std::string words = last_words(evidence.error_output);
  std::string how;
  if (cause == kGuestPanic) how = "the guest's operating system panicked";
  if (cause == kHostQuit || cause == kHostSignal) how = "the QEMU process was told to end by another program";
  if (how.empty() && evidence.wait_status) how = end_by_status(*evidence.wait_status);
  if (how.empty() && words.empty()) how = "the QEMU process is gone and left no word";
  if (words.empty()) return how;
  return how.empty() ? words : words + "\n" + how;
}

}  // namespace

bool tells_of_running(std::string_view error_output) {
  bool ran = false;
  for_each_line(error_output, [&](std::string_view line) {
    ran = ran || (line.starts_with(kRunStateTrace) && line.ends_with(kRunning));
  });
  return ran;
}

std::string last_words(std::string_view error_output) {
  std::string words;
  for_each_line(error_output, [&](std::string_view line) {
    if (line.empty() || line.starts_with(kShutdownTrace) || line.starts_with(kRunStateTrace)) return;
    if (!words.empty()) words += '\n';
    // Anything but plain ASCII could be cut in the middle, or be made up to confuse a terminal.
    for (const char letter : line) words += letter >= ' ' && letter <= '~' ? letter : '?';
  });
  if (words.size() > kLastWordsMax) words = "..." + words.substr(words.size() - kLastWordsMax);
  return words;
}

v1::VmExit judge_exit(const ExitEvidence& evidence) {
  v1::VmExit exit;
  const int cause = shutdown_cause(evidence.error_output);
  if (evidence.forced) {
    exit.set_reason(v1::VmExit::FORCED);
  } else if (!evidence.ran && !tells_of_running(evidence.error_output)) {
    exit.set_reason(v1::VmExit::START_FAILED);
    exit.set_last_words(crash_words(evidence, cause));
  } else if (cause == kGuestShutdown) {
    exit.set_reason(v1::VmExit::GUEST_SHUTDOWN);
    exit.set_last_words(last_words(evidence.error_output));
  } else {
    exit.set_reason(v1::VmExit::CRASH);
    exit.set_last_words(crash_words(evidence, cause));
  }
  return exit;
}

}  // namespace gantry::qemu
