#include "store/sqlite_records.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "store/rules.h"

namespace gantry::store {

using port::CommitOutcome;

SqliteRecords::SqliteRecords(SqliteConnection& connection)
    : connection_(connection),
      select_entry_(connection, "SELECT created, modified FROM entry WHERE key=?1"),
      upsert_entry_(connection,
                    "INSERT INTO entry(key, value, created, modified, lease) VALUES(?1, ?2, ?3, ?4, ?5)"
                    " ON CONFLICT(key) DO UPDATE SET value=?2, modified=?4, lease=?5"),
      delete_entry_(connection, "DELETE FROM entry WHERE key=?1"),
      select_range_(connection,
                    "SELECT key, value, created, modified, lease FROM entry WHERE key>=?1 AND key<?2"
                    " ORDER BY key LIMIT ?3"),
      select_tail_(connection,
                   "SELECT key, value, created, modified, lease FROM entry WHERE key>=?1 ORDER BY key LIMIT ?2"),
      insert_history_(connection, "INSERT INTO history VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)"),
      select_history_(connection,
                      "SELECT revision, erased, key, value, created, lease FROM history WHERE revision>=?1"
                      " ORDER BY revision, place"),
      delete_history_(connection, "DELETE FROM history WHERE revision<?1"),
      insert_lease_(connection, "INSERT INTO lease VALUES(?1, ?2)"),
      select_lease_(connection, "SELECT 1 FROM lease WHERE id=?1"),
      delete_lease_(connection, "DELETE FROM lease WHERE id=?1"),
      select_lease_keys_(connection, "SELECT key FROM entry WHERE lease=?1 AND lease!=0 ORDER BY key"),
      update_counters_(connection, "UPDATE counter SET revision=?1, history_begin=?2, last_lease=?3") {
  SqliteStatement select(connection, "SELECT revision, history_begin, last_lease FROM counter");
  SqliteQuery query(select);
  if (query.next()) counters_ = {query.number(0), query.number(1), query.number(2)};
  committed_ = counters_;
}

void SqliteRecords::begin() { connection_.begin(); }

void SqliteRecords::save() {
  if (counters_ == committed_) return;
  SqliteQuery(update_counters_).bind(counters_.revision).bind(counters_.history_begin).bind(counters_.last_lease).run();
}

void SqliteRecords::commit() {
  connection_.commit();
  committed_ = counters_;
}

void SqliteRecords::rollback() noexcept {
  connection_.rollback();
  counters_ = committed_;
}

port::CommitResult SqliteRecords::apply(const port::Txn& txn, std::vector<port::ChangeBatch>& batches) {
  if (std::string reason = invalid_reason(txn); !reason.empty()) {
    return {CommitOutcome::unavailable, revision(), std::move(reason)};
  }
  if (!std::all_of(txn.compares.begin(), txn.compares.end(), [this](const auto& compare) { return holds(compare); })) {
    return {CommitOutcome::conflict, revision()};
  }
  for (const port::Write& write : txn.writes) {
    if (write.kind == port::Write::Kind::put && write.lease != 0 && !has_lease(write.lease)) {
      return {CommitOutcome::unavailable, revision(), "no such lease: " + std::to_string(write.lease)};
    }
  }
  port::ChangeBatch batch{revision() + 1, {}};
  for (const port::Write& write : txn.writes) {
    if (write.kind == port::Write::Kind::put) {
      put(write, batch);
    } else {
      erase(write.key, batch);
    }
  }
  append(std::move(batch), batches);
  return {CommitOutcome::committed, revision()};
}

bool SqliteRecords::holds(const port::Compare& compare) {
  SqliteQuery query(select_entry_);
  query.bind(compare.key);
  return compare.modified == (query.next() ? query.number(1) : 0);
}

bool SqliteRecords::has_lease(port::LeaseId lease) {
  SqliteQuery query(select_lease_);
  return query.bind(lease).next();
}

void SqliteRecords::put(const port::Write& write, port::ChangeBatch& batch) {
  port::Entry entry{write.key, write.value, batch.revision, batch.revision, write.lease};
  {
    SqliteQuery query(select_entry_);
    query.bind(write.key);
    if (query.next()) entry.created = query.number(0);
  }
  SqliteQuery(upsert_entry_)
      .bind(entry.key)
      .bind(entry.value)
      .bind(entry.created)
      .bind(entry.modified)
      .bind(entry.lease)
      .run();
  batch.changes.push_back({port::Write::Kind::put, std::move(entry)});
}

void SqliteRecords::erase(const std::string& key, port::ChangeBatch& batch) {
  {
    SqliteQuery query(select_entry_);
    query.bind(key);
    if (!query.next()) return;
  }
  SqliteQuery(delete_entry_).bind(key).run();
  batch.changes.push_back({port::Write::Kind::erase, {key, {}, 0, batch.revision, 0}});
}

void SqliteRecords::append(port::ChangeBatch batch, std::vector<port::ChangeBatch>& batches) {
  if (batch.changes.empty()) return;
  std::uint64_t place = 0;
  for (const port::Change& change : batch.changes) {
    const std::uint64_t erased = change.kind == port::Write::Kind::erase ? 1 : 0;
    SqliteQuery(insert_history_)
        .bind(batch.revision)
        .bind(place++)
        .bind(erased)
        .bind(change.entry.key)
        .bind(change.entry.value)
        .bind(change.entry.created)
        .bind(change.entry.lease)
        .run();
  }
  counters_.revision = batch.revision;
  batches.push_back(std::move(batch));
}

port::Range SqliteRecords::range(const port::RangeRequest& request) {
  port::Range range{{}, revision(), false};
  const std::string end = range_end(request);
  const std::uint64_t unlimited = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  const std::uint64_t rows_max = request.limit == 0 || request.limit >= unlimited ? unlimited : request.limit + 1;
  SqliteQuery query(end.empty() ? select_tail_ : select_range_);
  query.bind(request.first);
  if (!end.empty()) query.bind(end);
  query.bind(rows_max);
  while (query.next()) {
    if (request.limit != 0 && range.entries.size() == request.limit) {
      range.more = true;
      break;
    }
    range.entries.push_back({query.bytes(0), query.bytes(1), query.number(2), query.number(3), query.number(4)});
  }
  return range;
}

port::LeaseId SqliteRecords::grant(Milliseconds ttl_ms) {
  const port::LeaseId lease = ++counters_.last_lease;
  SqliteQuery(insert_lease_).bind(lease).bind(static_cast<std::uint64_t>(ttl_ms)).run();
  return lease;
}

bool SqliteRecords::revoke(port::LeaseId lease, std::vector<port::ChangeBatch>& batches) {
  if (!has_lease(lease)) return false;
  std::vector<std::string> keys;
  {
    SqliteQuery query(select_lease_keys_);
    query.bind(lease);
    while (query.next()) keys.push_back(query.bytes(0));
  }
  port::ChangeBatch batch{revision() + 1, {}};
  for (const std::string& key : keys) erase(key, batch);
  append(std::move(batch), batches);
  SqliteQuery(delete_lease_).bind(lease).run();
  return true;
}

std::vector<SqliteRecords::Lease> SqliteRecords::leases() {
  std::vector<Lease> leases;
  SqliteStatement select(connection_, "SELECT id, ttl_ms FROM lease");
  SqliteQuery query(select);
  while (query.next()) leases.push_back({query.number(0), static_cast<Milliseconds>(query.number(1))});
  return leases;
}

void SqliteRecords::compact(port::Revision revision) {
  if (revision <= counters_.history_begin) return;
  SqliteQuery(delete_history_).bind(revision).run();
  counters_.history_begin = revision;
}

void SqliteRecords::replay(port::Revision from, const std::function<void(const port::ChangeBatch&)>& each) {
  SqliteQuery query(select_history_);
  query.bind(from);
  port::ChangeBatch batch;
  while (query.next()) {
    const port::Revision revision = query.number(0);
    if (revision != batch.revision) {
      if (batch.revision != 0) each(batch);
      batch = {revision, {}};
    }
    const auto kind = query.number(1) != 0 ? port::Write::Kind::erase : port::Write::Kind::put;
    batch.changes.push_back({kind, {query.bytes(2), query.bytes(3), query.number(4), revision, query.number(5)}});
  }
  if (batch.revision != 0) each(batch);
}

}  // namespace gantry::store
