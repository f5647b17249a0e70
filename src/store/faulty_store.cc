#include "store/faulty_store.h"

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "base/rng.h"
#include "store/watch_hub.h"

namespace gantry::store {

using port::CommitOutcome;
using port::StoreError;

namespace {

port::CommitResult injected(CommitOutcome outcome) { return {outcome, 0, "injected fault"}; }

}  // namespace

class FaultyStore::Core : public std::enable_shared_from_this<Core> {
 public:
  Core(port::Store& inner, port::Executor& executor, std::uint64_t seed)
      : inner_(inner), executor_(executor), rng_(seed) {}

  // A call not yet answered. `give_up` answers it at the latest in the destructor.
  std::uint64_t begin(std::function<void(bool passed_on)> give_up) {
    const std::lock_guard lock(mutex_);
    calls_.emplace(++last_call_, Call{false, std::move(give_up)});
    return last_call_;
  }

  // True: the caller may now hand it to the inner store.
  bool pass_on(std::uint64_t call) {
    const std::lock_guard lock(mutex_);
    const auto found = calls_.find(call);
    if (found == calls_.end()) return false;
    found->second.passed_on = true;
    return true;
  }

  void answer(std::uint64_t call, const std::function<void()>& callback) {
    std::unique_lock lock(mutex_);
    if (calls_.erase(call) == 0) return;
    ++answering_;
    lock.unlock();
    callback();
    lock.lock();
    --answering_;
    idle_.notify_all();
  }

  void answer_soon(std::uint64_t call, std::function<void()> callback) {
    executor_.post([weak = weak_from_this(), call, callback = std::move(callback)] {
      if (const auto core = weak.lock()) core->answer(call, callback);
    });
  }

  void do_later(std::function<void(Core&)> work) {
    const Milliseconds delay_ms = draw_delay_ms();
    executor_.post([weak = weak_from_this(), executor = &executor_, delay_ms, work = std::move(work)] {
      executor->post_after(delay_ms, [weak, work] {
        if (const auto core = weak.lock()) work(*core);
      });
    });
  }

  void close() {
    std::map<std::uint64_t, Call> open_calls;
    {
      std::unique_lock lock(mutex_);
      open_ = false;
      open_calls.swap(calls_);
      idle_.wait(lock, [this] { return answering_ == 0; });
    }
    for (const auto& [id, call] : open_calls) call.give_up(call.passed_on);
    for (const auto& slot : live_slots()) slot->end();
  }

  [[nodiscard]] bool is_open() const {
    const std::lock_guard lock(mutex_);
    return open_;
  }

  CommitFault draw_commit_fault() {
    const std::lock_guard lock(mutex_);
    if (!script_.empty()) {
      const CommitFault fault = script_.front();
      script_.pop_front();
      return fault;
    }
    // One draw for each kind, whether it is needed or not: a rate changed leaves the other faults where they were.
    const bool unavailable = rng_.chance(rates_.commit_unavailable, 1000);
    const bool done = rng_.chance(rates_.commit_unknown_done, 1000);
    const bool not_done = rng_.chance(rates_.commit_unknown_not_done, 1000);
    const bool later = rng_.chance(rates_.commit_unknown_later, 1000);
    const bool late = rng_.chance(rates_.late, 1000);
    if (unavailable) return CommitFault::unavailable;
    if (done) return CommitFault::unknown_done;
    if (not_done) return CommitFault::unknown_not_done;
    if (later) return CommitFault::unknown_later;
    return late ? CommitFault::late : CommitFault::none;
  }
  bool draw_late() {
    const std::lock_guard lock(mutex_);
    return rng_.chance(rates_.late, 1000);
  }
  bool draw_other_unavailable() {
    const std::lock_guard lock(mutex_);
    return rng_.chance(rates_.other_unavailable, 1000);
  }
  bool draw_watch_broken() {
    const std::lock_guard lock(mutex_);
    return rng_.chance(rates_.watch_broken, 1000);
  }

  void set_rates(const FaultRates& rates) {
    const std::lock_guard lock(mutex_);
    rates_ = rates;
  }
  void script(const std::vector<CommitFault>& faults) {
    const std::lock_guard lock(mutex_);
    script_.insert(script_.end(), faults.begin(), faults.end());
  }

  void add_slot(const std::shared_ptr<WatchSlot>& slot) {
    const std::lock_guard lock(mutex_);
    std::erase_if(slots_, [](const auto& weak) { return weak.expired(); });
    slots_.push_back(slot);
  }
  void break_watches() {
    executor_.post([weak = weak_from_this()] {
      const auto core = weak.lock();
      if (!core) return;
      for (const auto& slot : core->live_slots()) slot->fail(StoreError::unavailable);
    });
  }

  port::Store& inner() { return inner_; }

 private:
  struct Call {
    bool passed_on = false;
    std::function<void(bool passed_on)> give_up;
  };

  Milliseconds draw_delay_ms() {
    const std::lock_guard lock(mutex_);
    return static_cast<Milliseconds>(rng_.below(static_cast<std::uint64_t>(rates_.delay_ms_max) + 1));
  }
  std::vector<std::shared_ptr<WatchSlot>> live_slots() {
    const std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<WatchSlot>> slots;
    for (const auto& weak : slots_) {
      if (auto slot = weak.lock()) slots.push_back(std::move(slot));
    }
    return slots;
  }

  port::Store& inner_;
  port::Executor& executor_;
  mutable std::mutex mutex_;
  std::condition_variable idle_;
  bool open_ = true;
  Rng rng_;
  FaultRates rates_;
  std::deque<CommitFault> script_;
  std::map<std::uint64_t, Call> calls_;
  std::uint64_t last_call_ = 0;
  std::size_t answering_ = 0;
  std::vector<std::weak_ptr<WatchSlot>> slots_;
};

FaultyStore::FaultyStore(port::Store& inner, port::Executor& executor, std::uint64_t seed)
    : core_(std::make_shared<Core>(inner, executor, seed)) {}

FaultyStore::~FaultyStore() { core_->close(); }

void FaultyStore::set_rates(const FaultRates& rates) { core_->set_rates(rates); }
void FaultyStore::script(const std::vector<CommitFault>& faults) { core_->script(faults); }
void FaultyStore::break_watches() { core_->break_watches(); }

void FaultyStore::commit(port::Txn txn, CommitCallback done) {
  const CommitFault fault = core_->draw_commit_fault();
  const auto shared = std::make_shared<CommitCallback>(std::move(done));
  const std::uint64_t call = core_->begin([shared](bool passed_on) {
    (*shared)({passed_on ? CommitOutcome::unknown : CommitOutcome::unavailable, 0, "the store was closed"});
  });
  if (fault == CommitFault::unavailable || fault == CommitFault::unknown_not_done ||
      fault == CommitFault::unknown_later) {
    const bool certain = fault == CommitFault::unavailable;
    core_->answer_soon(call, [shared, certain] {
      (*shared)(injected(certain ? CommitOutcome::unavailable : CommitOutcome::unknown));
    });
    if (fault == CommitFault::unknown_later) {
      core_->do_later([txn = std::move(txn)](Core& core) {
        if (core.is_open()) core.inner().commit(txn, [](const port::CommitResult&) {});
      });
    }
    return;
  }
  auto pass_on = [shared, call, fault, txn = std::move(txn)](Core& core) {
    if (!core.pass_on(call)) return;
    core.inner().commit(txn, [weak = core.weak_from_this(), shared, call, fault](const port::CommitResult& result) {
      const auto alive = weak.lock();
      if (!alive) return;
      const bool lost = fault == CommitFault::unknown_done;
      alive->answer(call, [&] { (*shared)(lost ? injected(CommitOutcome::unknown) : result); });
    });
  };
  if (fault == CommitFault::late) return core_->do_later(std::move(pass_on));
  pass_on(*core_);
}

// Calls whose failures are StoreErrors: `send` hands the call to the inner store with the callback it is given.
template <class Value, class Send>
void FaultyStore::forward(std::function<void(Result<Value, StoreError>)> done, bool late, Send send) {
  using Callback = std::function<void(Result<Value, StoreError>)>;
  const auto shared = std::make_shared<Callback>(std::move(done));
  const std::uint64_t call = core_->begin([shared](bool) { (*shared)(tl::unexpected(StoreError::unavailable)); });
  if (core_->draw_other_unavailable()) {
    core_->answer_soon(call, [shared] { (*shared)(tl::unexpected(StoreError::unavailable)); });
    return;
  }
  auto pass_on = [shared, call, send = std::move(send)](Core& core) {
    if (!core.pass_on(call)) return;
    send(core.inner(), [weak = core.weak_from_this(), shared, call](const Result<Value, StoreError>& result) {
      if (const auto alive = weak.lock()) alive->answer(call, [&] { (*shared)(result); });
    });
  };
  if (late) return core_->do_later(std::move(pass_on));
  pass_on(*core_);
}

void FaultyStore::range(port::RangeRequest request, RangeCallback done) {
  forward<port::Range>(std::move(done), core_->draw_late(),
                       [request = std::move(request)](port::Store& inner, RangeCallback callback) {
                         inner.range(request, std::move(callback));
                       });
}

std::unique_ptr<port::Watch> FaultyStore::watch(std::string prefix, port::Revision from, port::WatchCallback callback) {
  auto slot = std::make_shared<WatchSlot>(prefix, std::move(callback));
  core_->add_slot(slot);
  auto source = core_->inner().watch(
      std::move(prefix), from, [weak = std::weak_ptr(core_), slot](const Result<port::ChangeBatch, StoreError>& news) {
        const auto core = weak.lock();
        if (!core) return;
        if (!news) return slot->fail(news.error());
        if (core->draw_watch_broken()) return slot->fail(StoreError::unavailable);
        slot->deliver(*news);
      });
  return make_watch(std::move(slot), std::move(source));
}

void FaultyStore::grant_lease(Milliseconds ttl_ms, LeaseCallback done) {
  forward<port::LeaseId>(std::move(done), false, [ttl_ms](port::Store& inner, LeaseCallback callback) {
    inner.grant_lease(ttl_ms, std::move(callback));
  });
}

void FaultyStore::keep_lease_alive(port::LeaseId lease, LeaseCallback done) {
  forward<port::LeaseId>(std::move(done), false, [lease](port::Store& inner, LeaseCallback callback) {
    inner.keep_lease_alive(lease, std::move(callback));
  });
}

void FaultyStore::revoke_lease(port::LeaseId lease, LeaseCallback done) {
  forward<port::LeaseId>(std::move(done), false, [lease](port::Store& inner, LeaseCallback callback) {
    inner.revoke_lease(lease, std::move(callback));
  });
}

void FaultyStore::compact(port::Revision revision, std::function<void(Result<port::Revision, StoreError>)> done) {
  forward<port::Revision>(std::move(done), false, [revision](port::Store& inner, auto callback) {
    inner.compact(revision, std::move(callback));
  });
}

}  // namespace gantry::store
