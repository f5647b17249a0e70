// gantryd: the daemon.
#include <malloc.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

#include <cstdio>
#include <exception>
#include <functional>
#include <iostream>
#include <string>

#include "app/daemon/all_in_one.h"
#include "app/daemon/cluster_file.h"
#include "app/daemon/host_role.h"
#include "app/daemon/join.h"
#include "app/daemon/local_access.h"
#include "app/daemon/logging.h"
#include "app/daemon/options.h"
#include "app/daemon/state.h"
#include "runtime/files.h"

namespace gantry::app {
namespace {

// Signals are taken by sigwait on the main thread: no thread made later may get them.
sigset_t block_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  return set;
}

void use_little_memory_and_many_files() {
  // One heap: the threads allocate little, and a heap each costs more than the waiting.
  mallopt(M_ARENA_MAX, 1);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
}

int complain(const Error& error) {
  std::fprintf(stderr, "error: %s\n", error.summary.c_str());
  if (!error.cause.empty()) std::fprintf(stderr, "  why: %s\n", error.cause.c_str());
  if (!error.next_step.empty()) std::fprintf(stderr, "  next: %s\n", error.next_step.c_str());
  return 1;
}

int show_fingerprint(const DaemonOptions& options) {
  const auto fingerprint = certificate_fingerprint(certificate_path(options));
  if (!fingerprint) return complain(fingerprint.error());
  std::printf("%s\n", fingerprint->c_str());
  return 0;
}

// Waits for a signal to end. The server takes a replaced certificate by itself, and this machine's clients are told of
// it here: until then they would not trust it.
void wait_for_end(const sigset_t& signals, const DaemonOptions& options, const std::function<Result<void>()>& offer) {
  constexpr timespec kLookAgain{.tv_sec = 1, .tv_nsec = 0};
  auto offered = certificate_fingerprint(certificate_path(options));
  int signal = 0;
  while (signal <= 0 || signal == SIGHUP) {
    signal = ::sigtimedwait(&signals, nullptr, &kLookAgain);
    auto now = certificate_fingerprint(certificate_path(options));
    if (!now || (offered && *now == *offered)) continue;
    // In the middle of a replacement, or never to be used.
    if (!is_certificate_of_key(certificate_path(options), key_path(options))) continue;
    if (auto done = offer(); !done) spdlog::warn("{}", done.error().to_text());
    offered = std::move(now);
  }
  spdlog::info("ending on signal {}; guests go on running", signal);
}

// Until a signal comes.
int serve_as_host(const DaemonOptions& options, DaemonState state, const link::HostCredentials& credentials,
                  const sigset_t& signals) {
  spdlog::info("gantryd {} is host {} of a cluster", GANTRY_VERSION, credentials.host_name);
  auto role = HostRole::make(options, std::move(state), credentials);
  if (!role) return complain(role.error());
  (*role)->start();
  sd_notify(0, "READY=1");
  int signal = 0;
  while (signal <= 0 || signal == SIGHUP) signal = ::sigwaitinfo(&signals, nullptr);
  spdlog::info("ending on signal {}; guests go on running", signal);
  sd_notify(0, "STOPPING=1");
  return 0;
}

int serve(const DaemonOptions& options, const sigset_t& signals) {
  if (auto made = runtime::make_directories(options.run_directory, 0755); !made) return complain(made.error());
  auto state = open_state(options.state_directory);
  if (!state) return complain(state.error());
  auto cluster = read_cluster(options.state_directory);
  if (!cluster) return complain(cluster.error());
  if (*cluster) return serve_as_host(options, std::move(*state), **cluster, signals);
  auto all = AllInOne::make(options, std::move(*state));
  if (!all) return complain(all.error());
  const auto token = random_hex(32);
  if (!token) return complain(token.error());
  const auto started = (*all)->start(*token);
  if (!started) return complain(started.error());
  if (!started->first_password.empty()) {
    std::printf(
        "The first user is \"admin\" with the password %s\nIt is shown only now; change it with: gantry password\n"
        "If it is lost, root on this machine sets another: gantry password --user admin\n",
        started->first_password.c_str());
    std::fflush(stdout);
  }
  const auto offer = [&] { return offer_local_access(options, started->port, *token); };
  if (auto offered = offer(); !offered) return complain(offered.error());
  spdlog::info("gantryd {} serves https://{}:{}", GANTRY_VERSION, options.listen_address, started->port);
  sd_notify(0, "READY=1");
  wait_for_end(signals, options, offer);
  sd_notify(0, "STOPPING=1");
  withdraw_local_access(options);
  return 0;
}

int run(int argc, char** argv) {
  // Peers may go away at any time.
  ::signal(SIGPIPE, SIG_IGN);
  const auto parsed = parse_options(argc, argv);
  if (parsed.exit_code) return *parsed.exit_code;
  if (parsed.join) {
    JoinOptions asked = *parsed.join;
    if (asked.token == "-") std::getline(std::cin, asked.token);
    const auto joined = join(parsed.options, asked);
    if (!joined) return complain(joined.error());
    std::fputs(joined->c_str(), stdout);
    return 0;
  }
  if (parsed.options.show_fingerprint) return show_fingerprint(parsed.options);
  use_little_memory_and_many_files();
  const sigset_t signals = block_signals();
  start_logging(parsed.options.log_level);
  return serve(parsed.options, signals);
}

}  // namespace
}  // namespace gantry::app

int main(int argc, char** argv) {
  try {
    return gantry::app::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
