// "gantryd migrate-store": move_records() over the stores that the options name.
#include <unistd.h>

#include "app/daemon/all_in_one.h"
#include "app/daemon/open_store.h"
#include "app/daemon/state.h"
#include "app/daemon/store_move.h"
#include "runtime/clock.h"

namespace gantry::app {

Result<void> check_left_behind(const DaemonOptions& options) {
  if (::access(store_path(options.state_directory).c_str(), F_OK) != 0) return {};
  const auto own = open_file_store(options);
  if (!own) return fail(own.error());
  return refuse_left_behind(**own);
}

Result<std::string> migrate_store(const DaemonOptions& options, bool dry_run) {
  // Held to the end: no daemon writes to the old store meanwhile.
  const auto state = open_state(options.state_directory);
  if (!state) return fail(state.error());
  const std::string path = store_path(options.state_directory);
  if (::access(path.c_str(), F_OK) != 0) {
    return fail(ErrorCode::not_found, "there is nothing to move", "there are no records in " + path,
                "start gantryd with --store " + options.store);
  }
  const auto from = open_file_store(options);
  if (!from) return fail(from.error());
  const auto to = open_cluster_store(options);
  if (!to) return fail(to.error());
  return move_records(**from, **to,
                      {.host_id = state->host_id,
                       .host_name = options.host_name,
                       .target = options.store,
                       .now_unix_ms = runtime::real_now().unix_ms,
                       .dry_run = dry_run});
}

}  // namespace gantry::app
