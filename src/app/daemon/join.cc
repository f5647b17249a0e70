#include "app/daemon/join.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <string_view>
#include <utility>
#include <vector>

#include "app/daemon/all_in_one.h"
#include "app/daemon/cluster_file.h"
#include "app/daemon/machine.h"
#include "app/daemon/state.h"
#include "app/daemon/store_calls.h"
#include "link/join_client.h"
#include "model/join_token.h"
#include "model/keys.h"
#include "network/driver.h"
#include "network/occupied.h"
#include "runtime/clock.h"
#include "runtime/files.h"
#include "store/sqlite_store.h"

namespace gantry::app {
namespace {

tl::unexpected<Error> in_use(const std::string& cause, const std::string& next_step) {
  return fail(ErrorCode::conflict, "this machine cannot join a cluster", cause, next_step, "machine_in_use");
}

Result<void> check_no_guests(const std::string& state_directory) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(state_directory + "/vms", error)) {
    return in_use("it has a guest already: " + entry.path().string(),
                  "delete its virtual machines first, or join with another --state-dir");
  }
  return {};
}

// What a gantryd left that ran here before as its own manager, and was not used.
struct Before {
  bool has_store = false;
  std::vector<v1::Network> networks;
};

Result<std::vector<port::Entry>> records(port::Store& store, std::string_view kind) {
  auto range = wait_for_range(store, {.first = model::prefix_of(kind)});
  if (!range) return fail(ErrorCode::unavailable, "this machine's own records cannot be read");
  return std::move(range->entries);
}

Result<Before> look_at_store(const std::string& path) {
  Before before;
  if (::access(path.c_str(), F_OK) != 0) return before;
  before.has_store = true;
  store::SqliteStoreOptions options;
  options.path = path;
  options.clock = runtime::real_now;
  auto store = store::open_sqlite_store(std::move(options));
  if (!store) return fail(store.error());
  for (const auto& [kind, words] : {std::pair{model::kVm, "virtual machines"}, std::pair{model::kVolume, "volumes"},
                                    std::pair{model::kImage, "images"}}) {
    auto found = records(**store, kind);
    if (!found) return fail(std::move(found.error()));
    if (!found->empty()) {
      return in_use(std::string("it is a manager of its own and has ") + words + " (" + path + ")",
                    "delete them first, or join with another --state-dir");
    }
  }
  auto networks = records(**store, model::kNetwork);
  if (!networks) return fail(std::move(networks.error()));
  for (const port::Entry& entry : *networks) before.networks.emplace_back().ParseFromString(entry.value);
  return before;
}

// No record will name them any more. What cannot be taken down stays until the machine restarts.
void take_down(const DaemonOptions& options, const std::vector<v1::Network>& networks) {
  network::Driver driver(network_directory(options), {});
  for (const v1::Network& network : networks) {
    if (auto removed = driver.remove_network(network); !removed) {
      std::fprintf(stderr, "warning: %s\n", removed.error().to_text().c_str());
    }
  }
}

Result<void> set_aside(const std::string& path) {
  for (const char* suffix : {"", "-wal", "-shm"}) {
    const std::string from = path + suffix;
    if (std::rename(from.c_str(), (path + ".before-join" + suffix).c_str()) != 0 && errno != ENOENT) {
      return fail(runtime::errno_error("cannot set " + from + " aside", errno));
    }
  }
  return {};
}

link::JoinWish wish_of(const DaemonOptions& options) {
  link::JoinWish wish;
  wish.host_name = options.host_name;
  wish.pool_path = default_pool_path(options);
  for (const auto& occupied : network::host_subnets()) {
    if (wish.taken_subnets.size() < 256) wish.taken_subnets.push_back(model::format_ipv4_subnet(occupied.subnet));
  }
  return wish;
}

std::string words_of(const DaemonOptions& options, const link::HostCredentials& joined, bool had_store) {
  std::string text = "This machine is host " + joined.host_name + " (" + joined.host_id + ") of the cluster at " +
                     joined.addresses.front() + ".\nWhat proves it is in " + cluster_path(options.state_directory) +
                     ".\n";
  if (had_store) {
    text += "Its own unused records were set aside: " + store_path(options.state_directory) + ".before-join\n";
  }
  return text + "Next: start gantryd (systemctl start gantryd), and look on the manager: gantry host list\n";
}

}  // namespace

Result<std::string> join(const DaemonOptions& options, const JoinOptions& asked) {
  const auto token = model::parse_join_token(asked.token);
  if (!token) return fail(token.error());
  // Held to the end: no daemon begins in between.
  auto state = open_state(options.state_directory);
  if (!state) return fail(state.error());
  const auto before = read_cluster(options.state_directory);
  if (!before && !asked.replace) return fail(before.error());
  if (before && *before && !asked.replace) {
    return in_use(
        "it is host " + (*before)->host_name + " of the cluster at " + (*before)->addresses.front(),
        "have it leave there (gantry host leave " + (*before)->host_name + "), then: gantryd join --replace TOKEN");
  }
  if (auto none = check_no_guests(options.state_directory); !none) return fail(none.error());
  const auto own = look_at_store(store_path(options.state_directory));
  if (!own) return fail(own.error());
  const link::JoinWish wish = wish_of(options);
  if (asked.dry_run) {
    std::string address;
    if (auto found = link::find_manager(*token, wish.step_ms, address); !found) return fail(found.error());
    return "This machine would join the cluster at " + address + " as host " + options.host_name +
           ".\nThe token is as good as before; whether it is still good only the manager knows.\n";
  }
  const auto joined = link::join_cluster(*token, wish);
  if (!joined) return fail(joined.error());
  // First what cannot be had again. Should it end here, the daemon is a host, and the records of before are not read.
  if (auto kept = write_cluster(options.state_directory, *joined); !kept) return fail(kept.error());
  take_down(options, own->networks);
  if (own->has_store) {
    if (auto aside = set_aside(store_path(options.state_directory)); !aside) return fail(aside.error());
  }
  return words_of(options, *joined, own->has_store);
}

}  // namespace gantry::app
