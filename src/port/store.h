// Where records are kept. The contract is etcd's, whoever implements it: keys in one flat order, one global revision
// that grows by one with each commit that changes something, compare-and-set transactions, watches that never miss or
// repeat a change, leases. One conformance suite (src/store/conformance.h) holds every implementation to it.
//
// Threads: every method may be called from any thread and returns soon; callbacks come on a thread of the store's, one
// at a time for one watch, and must not block. No callback comes after the store's destructor has returned; every
// accepted call is answered before that (at the latest with unavailable).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace gantry::port {

// 0 is before the first commit.
using Revision = std::uint64_t;
// 0: no lease.
using LeaseId = std::uint64_t;

struct Entry {
  std::string key;
  std::string value;
  Revision created = 0;
  Revision modified = 0;
  LeaseId lease = 0;
};

// Holds when the key's last change was at `modified`; 0: when the key does not exist.
struct Compare {
  std::string key;
  Revision modified = 0;
};

struct Write {
  enum class Kind { put, erase };
  Kind kind = Kind::put;
  std::string key;
  std::string value;
  LeaseId lease = 0;
};

// All writes or none. A key is written at most once in a transaction (invalid otherwise, as in etcd). Erasing a key
// that does not exist changes nothing.
struct Txn {
  std::vector<Compare> compares;
  std::vector<Write> writes;
};

enum class CommitOutcome {
  committed,
  conflict,     // a compare did not hold; nothing was written
  unavailable,  // certainly not written
  unknown,      // may or may not have been written, or may yet be: read before deciding
};

struct CommitResult {
  CommitOutcome outcome = CommitOutcome::unavailable;
  // Of the commit, or of the state that caused the conflict.
  Revision revision = 0;
  // Why, when neither committed nor conflict.
  std::string detail = {};
};

enum class StoreError {
  unavailable,
  compacted,  // that revision's history is gone: range again, then watch from there
  no_such_lease,
  invalid,  // a key written twice, an empty key, a revision of the future
};

struct Range {
  std::vector<Entry> entries;  // by key
  // The state they were read at: a watch from `revision` + 1 misses nothing.
  Revision revision = 0;
  // There were more than `limit`.
  bool more = false;
};

struct RangeRequest {
  // Keys with first <= key < end. An empty `end` means all keys that begin with `first`.
  std::string first;
  std::string end = {};
  // 0: no limit.
  std::size_t limit = 0;
};

struct Change {
  Write::Kind kind = Write::Kind::put;
  // Of an erased key: only key and modified are set.
  Entry entry;
};

// All changes of one revision within the watched prefix, in one piece.
struct ChangeBatch {
  Revision revision = 0;
  std::vector<Change> changes;
};

// Batches in order of revision, each once. An error is the last call of that watch.
using WatchCallback = std::function<void(Result<ChangeBatch, StoreError>)>;

// Ends the watch when destroyed; after that no callback begins. May be destroyed from within its own callback.
class Watch {
 public:
  virtual ~Watch() = default;
};

class Store {
 public:
  virtual ~Store() = default;

  using CommitCallback = std::function<void(CommitResult)>;
  using RangeCallback = std::function<void(Result<Range, StoreError>)>;
  using LeaseCallback = std::function<void(Result<LeaseId, StoreError>)>;

  // Answered once the outcome is durable.
  virtual void commit(Txn txn, CommitCallback done) = 0;
  // Linearizable: sees every commit answered before the call.
  virtual void range(RangeRequest request, RangeCallback done) = 0;
  // Changes at `from` and later to keys that begin with `prefix`. 0: from the next one on.
  [[nodiscard]] virtual std::unique_ptr<Watch> watch(std::string prefix, Revision from, WatchCallback callback) = 0;

  // A lease ends `ttl_ms` after it was granted or last kept alive, and its keys are erased then, in one commit.
  virtual void grant_lease(Milliseconds ttl_ms, LeaseCallback done) = 0;
  virtual void keep_lease_alive(LeaseId lease, LeaseCallback done) = 0;
  // Erases its keys at once.
  virtual void revoke_lease(LeaseId lease, LeaseCallback done) = 0;

  // Forgets history before `revision`; watches from before it get `compacted`.
  virtual void compact(Revision revision, std::function<void(Result<Revision, StoreError>)> done) = 0;
};

}  // namespace gantry::port
