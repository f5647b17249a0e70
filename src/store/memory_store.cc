#include "store/memory_store.h"

#include <algorithm>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

#include "store/memory_records.h"
#include "store/watch_hub.h"

namespace gantry::store {

using port::StoreError;

// Shared with what was posted to the executor, which may run after the store is gone and then finds nothing to do.
class MemoryStore::Core : public std::enable_shared_from_this<Core> {
 public:
  // Given true it does its work, given false it only answers that it will not be done.
  using Work = std::function<void(bool open)>;

  explicit Core(port::Executor& executor) : executor_(executor) {}

  void submit(Work work) {
    {
      const std::lock_guard lock(queue_mutex_);
      queue_.push_back(std::move(work));
    }
    executor_.post([weak = weak_from_this()] {
      if (const auto core = weak.lock()) core->run_next();
    });
  }

  void close() {
    const std::lock_guard running(running_mutex_);
    open_ = false;
    while (std::optional<Work> work = take()) (*work)(false);
    hub_.close();
  }

  void start_watch(const std::shared_ptr<WatchSlot>& slot, port::Revision from) {
    if (from == 0) from = records_.revision() + 1;
    if (from > records_.revision() + 1) return slot->fail(StoreError::invalid);
    if (from < records_.history_begin()) return slot->fail(StoreError::compacted);
    for (port::Revision revision = from; revision <= records_.revision(); ++revision) {
      slot->deliver(records_.history()[revision - records_.history_begin()]);
    }
    hub_.add(slot);
  }

  // Makes it known before it is answered.
  void deliver_after(port::Revision told) {
    for (; told < records_.revision(); ++told) {
      hub_.deliver(records_.history()[told + 1 - records_.history_begin()]);
    }
  }

  MemoryRecords& records() { return records_; }
  [[nodiscard]] Milliseconds now_ms() const { return executor_.now().monotonic_ms; }

 private:
  std::optional<Work> take() {
    const std::lock_guard lock(queue_mutex_);
    if (queue_.empty()) return std::nullopt;
    Work work = std::move(queue_.front());
    queue_.pop_front();
    return work;
  }

  void run_next() {
    const std::lock_guard running(running_mutex_);
    if (!open_) return;
    expire();
    if (const std::optional<Work> work = take()) (*work)(true);
    arm_timer();
  }

  void expire() {
    const port::Revision told = records_.revision();
    records_.expire(now_ms());
    deliver_after(told);
  }

  void arm_timer() {
    const std::optional<Milliseconds> deadline_ms = records_.next_deadline_ms();
    if (!deadline_ms || (timer_ms_ && *timer_ms_ <= *deadline_ms)) return;
    timer_ms_ = deadline_ms;
    executor_.post_after(std::max<Milliseconds>(0, *deadline_ms - now_ms()),
                         [weak = weak_from_this(), armed_ms = *deadline_ms] {
                           if (const auto core = weak.lock()) core->on_timer(armed_ms);
                         });
  }

  void on_timer(Milliseconds armed_ms) {
    const std::lock_guard running(running_mutex_);
    if (!open_) return;
    if (timer_ms_ == armed_ms) timer_ms_.reset();
    expire();
    arm_timer();
  }

  port::Executor& executor_;
  std::mutex queue_mutex_;
  std::deque<Work> queue_;
  // Held while the store works or calls back.
  std::mutex running_mutex_;
  bool open_ = true;
  MemoryRecords records_;
  WatchHub hub_;
  // The earliest timer posted and not yet run.
  std::optional<Milliseconds> timer_ms_;
};

MemoryStore::MemoryStore(port::Executor& executor) : core_(std::make_shared<Core>(executor)) {}

MemoryStore::~MemoryStore() { core_->close(); }

void MemoryStore::commit(port::Txn txn, CommitCallback done) {
  core_->submit([core = core_.get(), txn = std::move(txn), done = std::move(done)](bool open) {
    if (!open) return done({port::CommitOutcome::unavailable, 0, "the store was closed"});
    const port::Revision told = core->records().revision();
    const port::CommitResult result = core->records().commit(txn);
    core->deliver_after(told);
    done(result);
  });
}

void MemoryStore::range(port::RangeRequest request, RangeCallback done) {
  core_->submit([core = core_.get(), request = std::move(request), done = std::move(done)](bool open) {
    if (!open) return done(tl::unexpected(StoreError::unavailable));
    done(core->records().range(request));
  });
}

std::unique_ptr<port::Watch> MemoryStore::watch(std::string prefix, port::Revision from, port::WatchCallback callback) {
  auto slot = std::make_shared<WatchSlot>(std::move(prefix), std::move(callback));
  core_->submit([core = core_.get(), slot, from](bool open) {
    if (open) core->start_watch(slot, from);
  });
  return make_watch(std::move(slot));
}

void MemoryStore::grant_lease(Milliseconds ttl_ms, LeaseCallback done) {
  core_->submit([core = core_.get(), ttl_ms, done = std::move(done)](bool open) {
    if (!open) return done(tl::unexpected(StoreError::unavailable));
    done(core->records().grant(ttl_ms, core->now_ms()));
  });
}

void MemoryStore::keep_lease_alive(port::LeaseId lease, LeaseCallback done) {
  core_->submit([core = core_.get(), lease, done = std::move(done)](bool open) {
    if (!open) return done(tl::unexpected(StoreError::unavailable));
    done(core->records().keep_alive(lease, core->now_ms()));
  });
}

void MemoryStore::revoke_lease(port::LeaseId lease, LeaseCallback done) {
  core_->submit([core = core_.get(), lease, done = std::move(done)](bool open) {
    if (!open) return done(tl::unexpected(StoreError::unavailable));
    const port::Revision told = core->records().revision();
    const auto result = core->records().revoke(lease);
    core->deliver_after(told);
    done(result);
  });
}

void MemoryStore::compact(port::Revision revision, std::function<void(Result<port::Revision, StoreError>)> done) {
  core_->submit([core = core_.get(), revision, done = std::move(done)](bool open) {
    if (!open) return done(tl::unexpected(StoreError::unavailable));
    done(core->records().compact(revision));
  });
}

}  // namespace gantry::store
