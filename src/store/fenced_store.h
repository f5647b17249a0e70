// Another store behind a fence: what is committed through it is committed only while one record is as it was. Whoever
// has lost that record (port::Compare of a leader's) can change nothing any more, whatever it still believes: the
// commit is a conflict. Reads, watches and leases go through.
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
    if (!txn.writes.empty()) txn.compares.push_back(fence_);
    store_.commit(std::move(txn), std::move(done));
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
  port::Store& store_;
  const port::Compare fence_;
};

}  // namespace gantry::store
