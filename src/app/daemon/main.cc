// gantryd: the daemon.
#include <malloc.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

#include <cstdio>
#include <exception>
#include <iostream>
#include <string>

#include "app/daemon/all_in_one.h"
#include "app/daemon/cluster_file.h"
#include "app/daemon/cluster_node.h"
#include "app/daemon/host_role.h"
#include "app/daemon/join.h"
#include "app/daemon/local_access.h"
#include "app/daemon/logging.h"
#include "app/daemon/manager_parts.h"
#include "app/daemon/options.h"
#include "app/daemon/state.h"
#include "app/daemon/store_move.h"
#include "app/daemon/wait_for_end.h"
#include "runtime/files.h"

namespace gantry::app {
namespace {

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

// Until a signal comes.
int serve_as_host(const DaemonOptions& options, const DaemonState& state, link::HostCredentials credentials,
                  const sigset_t& signals) {
  if (auto used = use_given_addresses(options, credentials); !used) return complain(used.error());
  spdlog::info("gantryd {} is host {} of a cluster", GANTRY_VERSION, credentials.host_name);
  auto role = HostRole::make(options, state.incarnation, credentials);
  if (!role) return complain(role.error());
  (*role)->start();
  sd_notify(0, "READY=1");
  wait_for_end(
      signals, options, [] { return Result<void>(); }, [] { return false; });
  sd_notify(0, "STOPPING=1");
  return 0;
}

int serve(const DaemonOptions& options, const sigset_t& signals) {
  if (auto made = runtime::make_directories(options.run_directory, 0755); !made) return complain(made.error());
  auto state = open_state(options.state_directory);
  if (!state) return complain(state.error());
  auto cluster = read_cluster(options.state_directory);
  if (!cluster) return complain(cluster.error());
  if (!options.store.empty()) {
    if (auto none = check_left_behind(options); !none) return complain(none.error());
    ClusterNode node(options, std::move(*state), signals);
    const auto served = node.serve(*cluster);
    return served ? 0 : complain(served.error());
  }
  if (*cluster) return serve_as_host(options, *state, std::move(**cluster), signals);
  auto all = AllInOne::make(options, std::move(*state));
  if (!all) return complain(all.error());
  const auto token = random_hex(32);
  if (!token) return complain(token.error());
  const auto started = (*all)->start(*token);
  if (!started) return complain(started.error());
  print_first_password(started->first_password);
  const auto offer = [&] { return offer_local_access(options, started->port, *token); };
  if (auto offered = offer(); !offered) return complain(offered.error());
  spdlog::info("gantryd {} serves https://{}:{}", GANTRY_VERSION, options.listen_address, started->port);
  sd_notify(0, "READY=1");
  wait_for_end(signals, options, offer, [] { return false; });
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
  if (parsed.migrate) {
    const auto moved = migrate_store(parsed.options, parsed.migrate->dry_run);
    if (!moved) return complain(moved.error());
    std::fputs(moved->c_str(), stdout);
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
