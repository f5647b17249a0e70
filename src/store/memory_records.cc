#include "store/memory_records.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "store/rules.h"

namespace gantry::store {

using port::CommitOutcome;
using port::StoreError;

port::CommitResult MemoryRecords::commit(const port::Txn& txn) {
  if (std::string reason = invalid_reason(txn); !reason.empty()) {
    return {CommitOutcome::unavailable, revision_, std::move(reason)};
  }
  if (!std::all_of(txn.compares.begin(), txn.compares.end(), [this](const auto& compare) { return holds(compare); })) {
    return {CommitOutcome::conflict, revision_};
  }
  for (const port::Write& write : txn.writes) {
    if (write.kind == port::Write::Kind::put && write.lease != 0 && !deadlines_.has(write.lease)) {
      return {CommitOutcome::unavailable, revision_, "no such lease: " + std::to_string(write.lease)};
    }
  }
  port::ChangeBatch batch{revision_ + 1, {}};
  for (const port::Write& write : txn.writes) {
    if (write.kind == port::Write::Kind::put) {
      put(write, batch);
    } else {
      erase(write.key, batch);
    }
  }
  append(std::move(batch));
  return {CommitOutcome::committed, revision_};
}

bool MemoryRecords::holds(const port::Compare& compare) const {
  const auto found = entries_.find(compare.key);
  return compare.modified == (found == entries_.end() ? 0 : found->second.modified);
}

void MemoryRecords::put(const port::Write& write, port::ChangeBatch& batch) {
  port::Entry& entry = entries_[write.key];
  if (entry.created == 0) entry.created = batch.revision;
  entry.key = write.key;
  entry.value = write.value;
  entry.modified = batch.revision;
  entry.lease = write.lease;
  batch.changes.push_back({port::Write::Kind::put, entry});
}

void MemoryRecords::erase(const std::string& key, port::ChangeBatch& batch) {
  if (entries_.erase(key) == 0) return;
  batch.changes.push_back({port::Write::Kind::erase, {key, {}, 0, batch.revision, 0}});
}

void MemoryRecords::append(port::ChangeBatch batch) {
  if (batch.changes.empty()) return;
  revision_ = batch.revision;
  history_.push_back(std::move(batch));
}

port::Range MemoryRecords::range(const port::RangeRequest& request) const {
  port::Range range{{}, revision_, false};
  const std::string end = range_end(request);
  for (auto at = entries_.lower_bound(request.first); at != entries_.end(); ++at) {
    if (!end.empty() && at->first >= end) break;
    if (request.limit != 0 && range.entries.size() == request.limit) {
      range.more = true;
      break;
    }
    range.entries.push_back(at->second);
  }
  return range;
}

Result<port::LeaseId, StoreError> MemoryRecords::grant(Milliseconds ttl_ms, Milliseconds now_ms) {
  if (ttl_ms <= 0) return tl::unexpected(StoreError::invalid);
  deadlines_.grant(++last_lease_, ttl_ms, now_ms);
  return last_lease_;
}

Result<port::LeaseId, StoreError> MemoryRecords::keep_alive(port::LeaseId lease, Milliseconds now_ms) {
  if (!deadlines_.renew(lease, now_ms)) return tl::unexpected(StoreError::no_such_lease);
  return lease;
}

Result<port::LeaseId, StoreError> MemoryRecords::revoke(port::LeaseId lease) {
  if (!deadlines_.has(lease)) return tl::unexpected(StoreError::no_such_lease);
  deadlines_.remove(lease);
  std::vector<std::string> keys;
  for (const auto& [key, entry] : entries_) {
    if (entry.lease == lease) keys.push_back(key);
  }
  port::ChangeBatch batch{revision_ + 1, {}};
  for (const std::string& key : keys) erase(key, batch);
  append(std::move(batch));
  return lease;
}

void MemoryRecords::expire(Milliseconds now_ms) {
  for (const port::LeaseId lease : deadlines_.expired(now_ms)) {
    [[maybe_unused]] const auto revoked = revoke(lease);
  }
}

Result<port::Revision, StoreError> MemoryRecords::compact(port::Revision revision) {
  if (revision > revision_) return tl::unexpected(StoreError::invalid);
  while (history_begin_ < revision) {
    history_.pop_front();
    ++history_begin_;
  }
  return history_begin_;
}

}  // namespace gantry::store
