#include "store/sqlite_store.h"

#include <sqlite3.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "store/sqlite_jobs.h"
#include "store/sqlite_records.h"
#include "store/sqlite_schema.h"
#include "store/watch_hub.h"

namespace gantry::store {
namespace {

// Bounds what a group holds in memory and how long its first caller waits.
constexpr std::size_t kGroupJobsMax = 512;
// History is trimmed by so many revisions at a time.
constexpr port::Revision kTrimRevisions = 256;
constexpr Milliseconds kSleepMsMax = 3'600'000;

using Jobs = std::vector<std::unique_ptr<SqliteJob>>;

class SqliteStore final : public port::Store {
 public:
  // May throw SqliteFailure.
  SqliteStore(std::unique_ptr<SqliteConnection> connection, SqliteStoreOptions options)
      : options_(std::move(options)), connection_(std::move(connection)), records_(*connection_) {
    const Milliseconds now_ms = options_.clock().monotonic_ms;
    for (const SqliteRecords::Lease& lease : records_.leases()) deadlines_.grant(lease.id, lease.ttl_ms, now_ms);
    thread_ = std::thread([this] { work_until_closed(); });
  }

  ~SqliteStore() override {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
    }
    changed_.notify_one();
    thread_.join();
    while (const std::unique_ptr<SqliteJob> job = take()) job->refuse();
    hub_.close();
  }
  SqliteStore(const SqliteStore&) = delete;
  SqliteStore& operator=(const SqliteStore&) = delete;

  void commit(port::Txn txn, CommitCallback done) override { submit(make_commit_job(std::move(txn), std::move(done))); }
  void range(port::RangeRequest request, RangeCallback done) override {
    submit(make_range_job(std::move(request), std::move(done)));
  }
  std::unique_ptr<port::Watch> watch(std::string prefix, port::Revision from, port::WatchCallback callback) override {
    auto slot = std::make_shared<WatchSlot>(std::move(prefix), std::move(callback));
    submit(make_watch_job(slot, from));
    return make_watch(std::move(slot));
  }
  void grant_lease(Milliseconds ttl_ms, LeaseCallback done) override {
    submit(make_grant_job(ttl_ms, std::move(done)));
  }
  void keep_lease_alive(port::LeaseId lease, LeaseCallback done) override {
    submit(make_keep_alive_job(lease, std::move(done)));
  }
  void revoke_lease(port::LeaseId lease, LeaseCallback done) override {
    submit(make_revoke_job(lease, std::move(done)));
  }
  void compact(port::Revision revision, std::function<void(Result<port::Revision, port::StoreError>)> done) override {
    submit(make_compact_job(revision, std::move(done)));
  }

 private:
  void submit(std::unique_ptr<SqliteJob> job) {
    {
      const std::lock_guard lock(mutex_);
      queue_.push_back(std::move(job));
    }
    changed_.notify_one();
  }

  std::unique_ptr<SqliteJob> take() {
    const std::lock_guard lock(mutex_);
    if (queue_.empty()) return nullptr;
    std::unique_ptr<SqliteJob> job = std::move(queue_.front());
    queue_.pop_front();
    return job;
  }

  void work_until_closed() {
    while (std::optional<Jobs> jobs = wait_for_jobs()) {
      run_group(*jobs);
      if (connection_->log_pages() >= options_.checkpoint_pages) connection_->checkpoint();
    }
  }

  // Expired leases first, so that a lease is not kept alive past its end. None when the store is closed.
  std::optional<Jobs> wait_for_jobs() {
    std::unique_lock lock(mutex_);
    while (!closing_) {
      Jobs jobs;
      const Milliseconds now_ms = options_.clock().monotonic_ms;
      for (const port::LeaseId lease : deadlines_.expired(now_ms)) jobs.push_back(make_expire_job(lease));
      while (!queue_.empty() && jobs.size() < kGroupJobsMax) {
        jobs.push_back(std::move(queue_.front()));
        queue_.pop_front();
      }
      if (!jobs.empty()) return jobs;
      const std::optional<Milliseconds> deadline_ms = deadlines_.next_ms();
      if (deadline_ms) {
        changed_.wait_for(lock,
                          std::chrono::milliseconds(std::clamp<Milliseconds>(*deadline_ms - now_ms, 1, kSleepMsMax)));
      } else {
        changed_.wait(lock);
      }
    }
    return std::nullopt;
  }

  void run_group(Jobs& jobs) {
    const GroupFate fate = run_transaction(jobs);
    if (fate.durable) return;
    // What only reads need not suffer from what could not be written.
    const bool wrote = std::any_of(jobs.begin(), jobs.end(), [](const auto& job) { return job && job->writes(); });
    JobContext context{records_, deadlines_, hub_, {}, options_.clock().monotonic_ms};
    for (auto& job : jobs) {
      if (!wrote || job->writes()) {
        job->answer(context, fate);
        job.reset();
      }
    }
    std::erase_if(jobs, [](const auto& job) { return job == nullptr; });
    if (!jobs.empty()) run_group(jobs);
  }

  // Answers all if the transaction became durable, else none.
  GroupFate run_transaction(Jobs& jobs) {
    JobContext context{records_, deadlines_, hub_, {}, options_.clock().monotonic_ms};
    bool ending = false;
    try {
      records_.begin();
      for (const auto& job : jobs) job->apply(context);
      trim_history();
      records_.save();
      ending = true;
      records_.commit();
    } catch (const SqliteFailure& failure) {
      records_.rollback();
      return {false, ending && failure.code != SQLITE_FULL, describe(failure)};
    }
    for (const port::ChangeBatch& batch : context.batches) hub_.deliver(batch);
    for (const auto& job : jobs) job->answer(context, {true});
    return {true};
  }

  void trim_history() {
    if (options_.history_revisions_max == 0) return;
    const port::Revision kept = records_.revision() + 1 - records_.history_begin();
    if (kept < options_.history_revisions_max + kTrimRevisions) return;
    // A file with much more history, from other settings, is trimmed over several groups.
    records_.compact(records_.history_begin() + kTrimRevisions);
  }

  [[nodiscard]] std::string describe(const SqliteFailure& failure) const {
    const std::string what = "the store \"" + options_.path + "\" cannot be written: ";
    return what + (failure.code == SQLITE_FULL ? "its file system is full; make room" : failure.message);
  }

  const SqliteStoreOptions options_;
  std::unique_ptr<SqliteConnection> connection_;
  SqliteRecords records_;
  LeaseDeadlines deadlines_;
  WatchHub hub_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::unique_ptr<SqliteJob>> queue_;
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<port::Store>> open_sqlite_store(SqliteStoreOptions options) {
  auto connection = open_sqlite_database(options.path, options.vfs);
  if (!connection) return fail(std::move(connection).error());
  const std::string what = "cannot open the store \"" + options.path + "\"";
  try {
    return std::make_unique<SqliteStore>(std::move(*connection), std::move(options));
  } catch (const SqliteFailure& failure) {
    return fail(ErrorCode::corrupt, what, "its tables cannot be read: " + failure.message,
                "move it and its -wal file away and put back a backup of both");
  } catch (const std::exception& failure) {
    return fail(ErrorCode::unavailable, what, std::string("its thread cannot be started: ") + failure.what());
  }
}

}  // namespace gantry::store
