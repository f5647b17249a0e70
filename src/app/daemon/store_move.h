// Moves the records of a machine that was a manager alone into a store that managers share. Guests go on meanwhile:
// only gantryd must not run. It may end at any moment, and goes on where it was when it is repeated:
//
//   1. It makes itself the leader over there, without a lease: no manager leads until it has finished.
//   2. It copies what is missing, all of one revision of the old store.
//   3. It compares the two.
//   4. It marks the old store as moved: no gantryd starts on that any more.
//   5. It gives the lead up, and managers may begin.
//
// Before 4 the old store serves, if that is wished, after 4 the new one; never both.
#pragma once

#include <string>

#include "app/daemon/options.h"
#include "base/result.h"
#include "base/time.h"
#include "port/store.h"

namespace gantry::app {

struct StoreMove {
  // Whose records they are.
  std::string host_id;
  std::string host_name;
  // Where to, for people.
  std::string target;
  // Of the command, for people: when it began.
  Milliseconds now_unix_ms = 0;
  bool dry_run = false;
};

// What was done, or would be. Nobody else may write to `from`. Errors: conflict when `to` has records or a leader
// already, or the move was finished before; unavailable when a store does not answer, corrupt when `to` is not what was
// written: repeating goes on where it was.
Result<std::string> move_records(port::Store& from, port::Store& to, const StoreMove& move);

// Fails when the records in it were moved elsewhere.
Result<void> refuse_moved(port::Store& store);

// Fails when it has guests or disks that were not moved: over another store nobody would know of them.
Result<void> refuse_left_behind(port::Store& store);

// As above, of this machine's own records, if there are any.
Result<void> check_left_behind(const DaemonOptions& options);

// "gantryd migrate-store": from the file in the state directory to the store that the options name.
Result<std::string> migrate_store(const DaemonOptions& options, bool dry_run);

}  // namespace gantry::app
