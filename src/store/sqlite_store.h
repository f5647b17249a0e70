// The store in one SQLite file (write-ahead log, synchronous=FULL), for a manager of one machine.
//
// One thread does everything. It takes all calls that wait, runs them in their order as one SQLite transaction, syncs
// once, tells the watches, then answers: while one sync is under way the next group gathers, so many writers share the
// price of a sync. With nothing to do it sleeps without a timer, but for the next lease's end.
//
// Failures: a full disk makes commits unavailable until there is room; another error while committing makes them
// unknown. Reads go on where they can. A lease's time starts anew when the store is opened.
// A commit that makes no sense or names a lease that is not there is unavailable, and `detail` says so.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "port/store.h"

namespace gantry::store {

struct SqliteStoreOptions {
  // The database file; made with mode 0600 if it is not there. Its directory must exist. "-wal" is made beside it.
  std::string path;
  // For lease times; called on the store's thread. Must be given.
  std::function<Now()> clock;
  // History beyond so many revisions is forgotten bit by bit, as if by compact(). 0: only by compact().
  port::Revision history_revisions_max = 10'000;
  // The write-ahead log is copied into the database file when it has so many pages (of 4 KiB).
  int checkpoint_pages = 1000;
  // The SQLite VFS to use, by name; empty: the system's files. For tests of failing disks.
  std::string vfs = {};
};

// Only one process may have a store open. Errors: corrupt; unsupported, with reason "newer_schema" or
// "foreign_database"; conflict with reason "store_in_use"; not_found, permission_denied, out_of_space, unavailable.
// The destructor ends what is under way, answers the rest with unavailable, and must not run on a callback's thread.
Result<std::unique_ptr<port::Store>> open_sqlite_store(SqliteStoreOptions options);

}  // namespace gantry::store
