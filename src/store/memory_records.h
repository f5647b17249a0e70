// The store's contract as a plain data structure: no thread, no clock, no I/O. Time is handed in.
#pragma once

#include <deque>
#include <map>
#include <string>

#include "port/store.h"
#include "store/lease_deadlines.h"

namespace gantry::store {

class MemoryRecords {
 public:
  port::CommitResult commit(const port::Txn& txn);
  [[nodiscard]] port::Range range(const port::RangeRequest& request) const;

  Result<port::LeaseId, port::StoreError> grant(Milliseconds ttl_ms, Milliseconds now_ms);
  Result<port::LeaseId, port::StoreError> keep_alive(port::LeaseId lease, Milliseconds now_ms);
  Result<port::LeaseId, port::StoreError> revoke(port::LeaseId lease);
  // Revokes every lease whose time is up.
  void expire(Milliseconds now_ms);
  [[nodiscard]] std::optional<Milliseconds> next_deadline_ms() const { return deadlines_.next_ms(); }

  // Answers the first revision whose history is still there.
  Result<port::Revision, port::StoreError> compact(port::Revision revision);

  [[nodiscard]] port::Revision revision() const { return revision_; }
  [[nodiscard]] port::Revision history_begin() const { return history_begin_; }
  // One batch for each revision from history_begin() to revision().
  [[nodiscard]] const std::deque<port::ChangeBatch>& history() const { return history_; }

 private:
  [[nodiscard]] bool holds(const port::Compare& compare) const;
  void put(const port::Write& write, port::ChangeBatch& batch);
  void erase(const std::string& key, port::ChangeBatch& batch);
  void append(port::ChangeBatch batch);

  std::map<std::string, port::Entry, std::less<>> entries_;
  std::deque<port::ChangeBatch> history_;
  port::Revision revision_ = 0;
  port::Revision history_begin_ = 1;
  LeaseDeadlines deadlines_;
  port::LeaseId last_lease_ = 0;
};

}  // namespace gantry::store
