// A store that fails: puts faults between its users and any other store, by a seed or by a script, so that callers and
// the simulator meet every outcome of the contract. Without rates and script it only passes calls on.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "port/executor.h"
#include "port/store.h"

namespace gantry::store {

enum class CommitFault {
  none,
  unavailable,       // not done
  unknown_done,      // done, answered unknown
  unknown_not_done,  // not done, answered unknown
  unknown_later,     // answered unknown; done up to delay_ms_max later, unless the FaultyStore is destroyed before
  late,              // passed on up to delay_ms_max later
};

// Chances in a thousand.
struct FaultRates {
  std::uint32_t commit_unavailable = 0;
  std::uint32_t commit_unknown_done = 0;
  std::uint32_t commit_unknown_not_done = 0;
  std::uint32_t commit_unknown_later = 0;
  // Of commits that meet no other fault, and of ranges.
  std::uint32_t late = 0;
  // Of everything but commits and watches: not done.
  std::uint32_t other_unavailable = 0;
  // Of each batch: the watch ends with unavailable in its stead.
  std::uint32_t watch_broken = 0;
  Milliseconds delay_ms_max = 0;
};

class FaultyStore final : public port::Store {
 public:
  // `inner` and `executor` must outlive it. Callbacks come on inner's thread or on the executor.
  FaultyStore(port::Store& inner, port::Executor& executor, std::uint64_t seed);
  // What is not answered is answered now: unavailable if it was not passed on, else unknown. Not within a callback.
  ~FaultyStore() override;
  FaultyStore(const FaultyStore&) = delete;
  FaultyStore& operator=(const FaultyStore&) = delete;

  // From any thread, for the calls after it.
  void set_rates(const FaultRates& rates);
  // The next commits meet these, one each; after them the rates count again.
  void script(const std::vector<CommitFault>& faults);
  // Ends every watch there is with unavailable, soon, on the executor.
  void break_watches();

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
  template <class Value, class Send>
  void forward(std::function<void(Result<Value, port::StoreError>)> done, bool late, Send send);

  std::shared_ptr<Core> core_;
};

}  // namespace gantry::store
