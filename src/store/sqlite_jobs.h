// What callers ask of the SQLite store, each call an object that is first applied within a group's transaction and,
// when the fate of the group is known, answered.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "port/store.h"
#include "store/lease_deadlines.h"
#include "store/sqlite_records.h"
#include "store/watch_hub.h"

namespace gantry::store {

// How the group's transaction ended.
struct GroupFate {
  bool durable = false;
  // When not durable: whether it may have been written all the same.
  bool maybe_written = false;
  std::string detail = {};
};

// What jobs work on; all of it is the store's thread's alone.
struct JobContext {
  SqliteRecords& records;
  LeaseDeadlines& deadlines;
  WatchHub& hub;
  // What the group's transaction changes, in order.
  std::vector<port::ChangeBatch> batches = {};
  Milliseconds now_ms = 0;
};

class SqliteJob {
 public:
  virtual ~SqliteJob() = default;
  // One that writes may be given up together with the writes of others; one that reads is tried again without them.
  [[nodiscard]] virtual bool writes() const = 0;
  // May throw SqliteFailure. May be called again after the transaction was rolled back.
  virtual void apply(JobContext& context) = 0;
  // Calls back, once.
  virtual void answer(JobContext& context, const GroupFate& fate) = 0;
  // Calls back, once, because the store is closed.
  virtual void refuse() = 0;
};

using NumberCallback = std::function<void(Result<std::uint64_t, port::StoreError>)>;

std::unique_ptr<SqliteJob> make_commit_job(port::Txn txn, port::Store::CommitCallback done);
std::unique_ptr<SqliteJob> make_range_job(port::RangeRequest request, port::Store::RangeCallback done);
std::unique_ptr<SqliteJob> make_watch_job(std::shared_ptr<WatchSlot> slot, port::Revision from);
std::unique_ptr<SqliteJob> make_grant_job(Milliseconds ttl_ms, NumberCallback done);
std::unique_ptr<SqliteJob> make_keep_alive_job(port::LeaseId lease, NumberCallback done);
std::unique_ptr<SqliteJob> make_revoke_job(port::LeaseId lease, NumberCallback done);
// A lease whose time is up: like revoke, tried again after a while when that failed.
std::unique_ptr<SqliteJob> make_expire_job(port::LeaseId lease);
std::unique_ptr<SqliteJob> make_compact_job(port::Revision revision, NumberCallback done);

}  // namespace gantry::store
