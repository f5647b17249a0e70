#include "store/sqlite_jobs.h"

#include <utility>

namespace gantry::store {
namespace {

using port::CommitOutcome;
using port::StoreError;

// How long an expired lease whose keys could not be erased is left alone.
constexpr Milliseconds kExpiryRetryMs = 1000;

class CommitJob final : public SqliteJob {
 public:
  CommitJob(port::Txn txn, port::Store::CommitCallback done) : txn_(std::move(txn)), done_(std::move(done)) {}
  [[nodiscard]] bool writes() const override { return true; }
  void apply(JobContext& context) override { result_ = context.records.apply(txn_, context.batches); }
  void answer(JobContext& /*context*/, const GroupFate& fate) override {
    if (fate.durable) return done_(result_);
    done_({fate.maybe_written ? CommitOutcome::unknown : CommitOutcome::unavailable, 0, fate.detail});
  }
  void refuse() override { done_({CommitOutcome::unavailable, 0, "the store was closed"}); }

 private:
  port::Txn txn_;
  port::Store::CommitCallback done_;
  port::CommitResult result_;
};

class RangeJob final : public SqliteJob {
 public:
  RangeJob(port::RangeRequest request, port::Store::RangeCallback done)
      : request_(std::move(request)), done_(std::move(done)) {}
  [[nodiscard]] bool writes() const override { return false; }
  void apply(JobContext& context) override { range_ = context.records.range(request_); }
  void answer(JobContext& /*context*/, const GroupFate& fate) override {
    if (!fate.durable) return refuse();
    done_(std::move(range_));
  }
  void refuse() override { done_(tl::unexpected(StoreError::unavailable)); }

 private:
  port::RangeRequest request_;
  port::Store::RangeCallback done_;
  port::Range range_;
};

class WatchJob final : public SqliteJob {
 public:
  WatchJob(std::shared_ptr<WatchSlot> slot, port::Revision from) : slot_(std::move(slot)), from_(from) {}
  [[nodiscard]] bool writes() const override { return false; }
  // Its place among the commits of the group counts, but it is told only what is durable.
  void apply(JobContext& context) override { begin_ = from_ == 0 ? context.records.revision() + 1 : from_; }
  void answer(JobContext& context, const GroupFate& fate) override {
    if (!fate.durable) return slot_->fail(StoreError::unavailable);
    if (begin_ > context.records.revision() + 1) return slot_->fail(StoreError::invalid);
    if (begin_ < context.records.history_begin()) return slot_->fail(StoreError::compacted);
    try {
      context.records.replay(begin_, [this](const port::ChangeBatch& batch) { slot_->deliver(batch); });
    } catch (const SqliteFailure&) {
      return slot_->fail(StoreError::unavailable);
    }
    context.hub.add(slot_);
  }
  void refuse() override { slot_->end(); }

 private:
  std::shared_ptr<WatchSlot> slot_;
  port::Revision from_;
  port::Revision begin_ = 0;
};

class GrantJob final : public SqliteJob {
 public:
  GrantJob(Milliseconds ttl_ms, NumberCallback done) : ttl_ms_(ttl_ms), done_(std::move(done)) {}
  [[nodiscard]] bool writes() const override { return true; }
  void apply(JobContext& context) override {
    if (ttl_ms_ > 0) lease_ = context.records.grant(ttl_ms_);
  }
  void answer(JobContext& context, const GroupFate& fate) override {
    if (ttl_ms_ <= 0) return done_(tl::unexpected(StoreError::invalid));
    if (!fate.durable) return refuse();
    context.deadlines.grant(lease_, ttl_ms_, context.now_ms);
    done_(lease_);
  }
  void refuse() override { done_(tl::unexpected(StoreError::unavailable)); }

 private:
  Milliseconds ttl_ms_;
  NumberCallback done_;
  port::LeaseId lease_ = 0;
};

class KeepAliveJob final : public SqliteJob {
 public:
  KeepAliveJob(port::LeaseId lease, NumberCallback done) : lease_(lease), done_(std::move(done)) {}
  [[nodiscard]] bool writes() const override { return false; }
  void apply(JobContext& /*context*/) override {}
  void answer(JobContext& context, const GroupFate& fate) override {
    if (!fate.durable) return refuse();
    if (!context.deadlines.renew(lease_, context.now_ms)) return done_(tl::unexpected(StoreError::no_such_lease));
    done_(lease_);
  }
  void refuse() override { done_(tl::unexpected(StoreError::unavailable)); }

 private:
  port::LeaseId lease_;
  NumberCallback done_;
};

class RevokeJob final : public SqliteJob {
 public:
  RevokeJob(port::LeaseId lease, NumberCallback done) : lease_(lease), done_(std::move(done)) {}
  [[nodiscard]] bool writes() const override { return true; }
  void apply(JobContext& context) override { found_ = context.records.revoke(lease_, context.batches); }
  void answer(JobContext& context, const GroupFate& fate) override {
    if (!fate.durable) return refuse();
    context.deadlines.remove(lease_);
    if (!found_) return done_(tl::unexpected(StoreError::no_such_lease));
    done_(lease_);
  }
  void refuse() override { done_(tl::unexpected(StoreError::unavailable)); }

 private:
  port::LeaseId lease_;
  NumberCallback done_;
  bool found_ = false;
};

class ExpireJob final : public SqliteJob {
 public:
  explicit ExpireJob(port::LeaseId lease) : lease_(lease) {}
  [[nodiscard]] bool writes() const override { return true; }
  void apply(JobContext& context) override { context.records.revoke(lease_, context.batches); }
  void answer(JobContext& context, const GroupFate& fate) override {
    if (fate.durable) {
      context.deadlines.remove(lease_);
    } else {
      context.deadlines.postpone(lease_, context.now_ms + kExpiryRetryMs);
    }
  }
  void refuse() override {}

 private:
  port::LeaseId lease_;
};

class CompactJob final : public SqliteJob {
 public:
  CompactJob(port::Revision revision, NumberCallback done) : revision_(revision), done_(std::move(done)) {}
  [[nodiscard]] bool writes() const override { return true; }
  void apply(JobContext& context) override {
    future_ = revision_ > context.records.revision();
    if (!future_) context.records.compact(revision_);
    begin_ = context.records.history_begin();
  }
  void answer(JobContext& /*context*/, const GroupFate& fate) override {
    if (!fate.durable) return refuse();
    if (future_) return done_(tl::unexpected(StoreError::invalid));
    done_(begin_);
  }
  void refuse() override { done_(tl::unexpected(StoreError::unavailable)); }

 private:
  port::Revision revision_;
  NumberCallback done_;
  port::Revision begin_ = 0;
  bool future_ = false;
};

}  // namespace

std::unique_ptr<SqliteJob> make_commit_job(port::Txn txn, port::Store::CommitCallback done) {
  return std::make_unique<CommitJob>(std::move(txn), std::move(done));
}
std::unique_ptr<SqliteJob> make_range_job(port::RangeRequest request, port::Store::RangeCallback done) {
  return std::make_unique<RangeJob>(std::move(request), std::move(done));
}
std::unique_ptr<SqliteJob> make_watch_job(std::shared_ptr<WatchSlot> slot, port::Revision from) {
  return std::make_unique<WatchJob>(std::move(slot), from);
}
std::unique_ptr<SqliteJob> make_grant_job(Milliseconds ttl_ms, NumberCallback done) {
  return std::make_unique<GrantJob>(ttl_ms, std::move(done));
}
std::unique_ptr<SqliteJob> make_keep_alive_job(port::LeaseId lease, NumberCallback done) {
  return std::make_unique<KeepAliveJob>(lease, std::move(done));
}
std::unique_ptr<SqliteJob> make_revoke_job(port::LeaseId lease, NumberCallback done) {
  return std::make_unique<RevokeJob>(lease, std::move(done));
}
std::unique_ptr<SqliteJob> make_expire_job(port::LeaseId lease) { return std::make_unique<ExpireJob>(lease); }
std::unique_ptr<SqliteJob> make_compact_job(port::Revision revision, NumberCallback done) {
  return std::make_unique<CompactJob>(revision, std::move(done));
}

}  // namespace gantry::store
