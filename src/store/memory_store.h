// A store in memory, for the simulator and tests. It has no thread and no clock of its own: everything happens on the
// executor, in the order of the calls, so a run with the same seed is the same run. Nothing is ever unavailable but in
// the destructor; store::FaultyStore adds the faults. History is kept until compact().
#pragma once

#include <memory>

#include "port/executor.h"
#include "port/store.h"

namespace gantry::store {

class MemoryStore final : public port::Store {
 public:
  // `executor` must outlive the store. Callbacks come on it; those of the destructor on the destructor's thread.
  explicit MemoryStore(port::Executor& executor);
  // Calls not begun are answered unavailable. May run on any thread, but not within one of the store's callbacks.
  ~MemoryStore() override;
  MemoryStore(const MemoryStore&) = delete;
  MemoryStore& operator=(const MemoryStore&) = delete;

  void commit(port::Txn txn, CommitCallback done) override;
  void range(port::RangeRequest request, RangeCallback done) override;
  [[nodiscard]] std::unique_ptr<port::Watch> watch(std::string prefix, port::Revision from,
                                                   port::WatchCallback callback) override;
  void grant_lease(Milliseconds ttl_ms, LeaseCallback done) override;
  void keep_lease_alive(port::LeaseId lease, LeaseCallback done) override;
  void revoke_lease(port::LeaseId lease, LeaseCallback done) override;
  void compact(port::Revision revision, std::function<void(Result<port::Revision, port::StoreError>)> done) override;

 private:
  class Core;
  std::shared_ptr<Core> core_;
};

}  // namespace gantry::store
