// The store's contract in SQLite's tables, within a transaction that its user begins and ends. One thread. Every method
// may throw SqliteFailure; then the transaction must be rolled back.
#pragma once

#include <functional>
#include <vector>

#include "port/store.h"
#include "store/sqlite_connection.h"

namespace gantry::store {

class SqliteRecords {
 public:
  struct Lease {
    port::LeaseId id = 0;
    Milliseconds ttl_ms = 0;
  };

  explicit SqliteRecords(SqliteConnection& connection);

  void begin();
  // The last statement of a transaction: a failure up to here leaves nothing written.
  void save();
  // What changed goes to stable storage. A failure leaves it open whether it got there, but for a full disk: the log's
  // last page, which makes the transaction count, was not written then.
  void commit();
  void rollback() noexcept;

  // Adds to `batches` what it changes. Never unknown: that only the end of the transaction can be.
  port::CommitResult apply(const port::Txn& txn, std::vector<port::ChangeBatch>& batches);
  port::Range range(const port::RangeRequest& request);

  port::LeaseId grant(Milliseconds ttl_ms);
  // False when there is no such lease.
  bool revoke(port::LeaseId lease, std::vector<port::ChangeBatch>& batches);
  std::vector<Lease> leases();

  // Forgets history before `revision`, as far as it is not in the future.
  void compact(port::Revision revision);
  // The batches from `from` to the present, one by one.
  void replay(port::Revision from, const std::function<void(const port::ChangeBatch&)>& each);

  [[nodiscard]] port::Revision revision() const { return counters_.revision; }
  // The first revision whose history is still there.
  [[nodiscard]] port::Revision history_begin() const { return counters_.history_begin; }

 private:
  struct Counters {
    port::Revision revision = 0;
    port::Revision history_begin = 1;
    port::LeaseId last_lease = 0;
    bool operator==(const Counters&) const = default;
  };

  bool holds(const port::Compare& compare);
  bool has_lease(port::LeaseId lease);
  void put(const port::Write& write, port::ChangeBatch& batch);
  void erase(const std::string& key, port::ChangeBatch& batch);
  void append(port::ChangeBatch batch, std::vector<port::ChangeBatch>& batches);

  SqliteConnection& connection_;
  // As seen within the transaction, and at its beginning.
  Counters counters_;
  Counters committed_;

  SqliteStatement select_entry_;
  SqliteStatement upsert_entry_;
  SqliteStatement delete_entry_;
  SqliteStatement select_range_;
  SqliteStatement select_tail_;
  SqliteStatement insert_history_;
  SqliteStatement select_history_;
  SqliteStatement delete_history_;
  SqliteStatement insert_lease_;
  SqliteStatement select_lease_;
  SqliteStatement delete_lease_;
  SqliteStatement select_lease_keys_;
  SqliteStatement update_counters_;
};

}  // namespace gantry::store
