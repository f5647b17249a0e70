#include "app/daemon/wait_for_end.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include "app/daemon/local_access.h"
#include "app/daemon/manager_parts.h"

namespace gantry::app {
namespace {

constexpr int kWake = SIGUSR1;

}  // namespace

sigset_t block_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, kWake}) sigaddset(&set, signal);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  return set;
}

void wake_main_thread() { ::kill(::getpid(), kWake); }

int wait_for_end(const sigset_t& signals, const DaemonOptions& options, const std::function<Result<void>()>& offer,
                 const std::function<bool()>& enough) {
  constexpr timespec kLookAgain{.tv_sec = 1, .tv_nsec = 0};
  auto offered = certificate_fingerprint(certificate_path(options));
  while (!enough()) {
    const int signal = ::sigtimedwait(&signals, nullptr, &kLookAgain);
    if (signal > 0 && signal != SIGHUP && signal != kWake) {
      spdlog::info("ending on signal {}; guests go on running", signal);
      return signal;
    }
    auto now = certificate_fingerprint(certificate_path(options));
    if (!now || (offered && *now == *offered)) continue;
    // In the middle of a replacement, or never to be used.
    if (!is_certificate_of_key(certificate_path(options), key_path(options))) continue;
    if (auto done = offer(); !done) spdlog::warn("{}", done.error().to_text());
    offered = std::move(now);
  }
  return 0;
}

}  // namespace gantry::app
