// Another store behind a fence: what is committed through it is committed only while one record is as it was. Whoever
// has lost that record (port::Compare of a leader's) can change nothing any more, whatever it still believes: commits
// are unavailable. Not conflicts: those are told only of the caller's own compares, who takes them for news of its
// records. Reads, watches and leases go through.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "port/store.h"

namespace gantry::store {

class FencedStore final : public port::Store {
 public:
  // `store` must outlive it.
  FencedStore(port::Store& store, port::Compare fence) : store_(store), fence_(std::move(fence)) {}

  void commit(port::Txn txn, CommitCallback done) override {
    if (txn.writes.empty()) return store_.commit(std::move(txn), std::move(done));
    txn.compares.push_back(fence_);
    store_.commit(std::move(txn), [&store = store_, fence = fence_, done = std::move(done)](port::CommitResult result) {
      if (result.outcome != port::CommitOutcome::conflict) return done(std::move(result));
      tell_conflict(store, fence, std::move(result), done);
    });
  }
  void range(port::RangeRequest request, RangeCallback done) override {
    store_.range(std::move(request), std::move(done));
  }
  [[nodiscard]] std::unique_ptr<port::Watch> watch(std::string prefix, port::Revision from,
                                                   port::WatchCallback callback) override {
    return store_.watch(std::move(prefix), from, std::move(callback));
  }
  void grant_lease(Milliseconds ttl_ms, LeaseCallback done) override { store_.grant_lease(ttl_ms, std::move(done)); }
  void keep_lease_alive(port::LeaseId lease, LeaseCallback done) override {
    store_.keep_lease_alive(lease, std::move(done));
  }
  void revoke_lease(port::LeaseId lease, LeaseCallback done) override { store_.revoke_lease(lease, std::move(done)); }
  void compact(port::Revision revision, std::function<void(Result<port::Revision, port::StoreError>)> done) override {
    store_.compact(revision, std::move(done));
  }

 private:
  // The caller's own, if the fence stands; it falls once and for all.
  static void tell_conflict(port::Store& store, const port::Compare& fence, port::CommitResult result,
                            const CommitCallback& done) {
    store.range({.first = fence.key, .end = fence.key + '\0'},
                [modified = fence.modified, result = std::move(result), done](const auto& range) {
                  const bool is_known = range.has_value();
                  const bool is_there = is_known && !range->entries.empty();
                  const port::Revision now = is_there ? range->entries.front().modified : 0;
                  if (is_known && now == modified) return done(result);
                  done({port::CommitOutcome::unavailable, 0,
                        is_known ? "the lead was lost" : "it cannot be read who has the lead"});
                });
  }

  port::Store& store_;
  const port::Compare fence_;
};

}  // namespace gantry::store
