// Helpers of this room's tests: waiting for answers, an executor whose time a test moves, directories that go away.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "port/executor.h"
#include "port/store.h"

namespace gantry::store {

// How long a test waits for what must happen.
inline constexpr std::chrono::seconds kPatience{120};

// The value that `start` hands to its callback.
template <class Value>
Value await(const std::function<void(std::function<void(Value)>)>& start) {
  auto promise = std::make_shared<std::promise<Value>>();
  std::future<Value> future = promise->get_future();
  start([promise](Value value) { promise->set_value(std::move(value)); });
  if (future.wait_for(kPatience) != std::future_status::ready) {
    ADD_FAILURE() << "no answer came";
    std::abort();
  }
  return future.get();
}

inline port::CommitResult commit(port::Store& store, port::Txn txn) {
  return await<port::CommitResult>([&](auto done) { store.commit(std::move(txn), std::move(done)); });
}
inline Result<port::Range, port::StoreError> range(port::Store& store, port::RangeRequest request) {
  return await<Result<port::Range, port::StoreError>>(
      [&](auto done) { store.range(std::move(request), std::move(done)); });
}
inline Result<port::LeaseId, port::StoreError> grant(port::Store& store, Milliseconds ttl_ms) {
  return await<Result<port::LeaseId, port::StoreError>>([&](auto done) { store.grant_lease(ttl_ms, std::move(done)); });
}
inline Result<port::LeaseId, port::StoreError> keep_alive(port::Store& store, port::LeaseId lease) {
  return await<Result<port::LeaseId, port::StoreError>>(
      [&](auto done) { store.keep_lease_alive(lease, std::move(done)); });
}
inline Result<port::LeaseId, port::StoreError> revoke(port::Store& store, port::LeaseId lease) {
  return await<Result<port::LeaseId, port::StoreError>>([&](auto done) { store.revoke_lease(lease, std::move(done)); });
}
inline Result<port::Revision, port::StoreError> compact(port::Store& store, port::Revision revision) {
  return await<Result<port::Revision, port::StoreError>>([&](auto done) { store.compact(revision, std::move(done)); });
}

inline port::Write put(std::string key, std::string value, port::LeaseId lease = 0) {
  return {port::Write::Kind::put, std::move(key), std::move(value), lease};
}
inline port::Write erase(std::string key) { return {port::Write::Kind::erase, std::move(key), {}, 0}; }

// Gathers what a watch tells.
class WatchLog {
 public:
  WatchLog(port::Store& store, std::string prefix, port::Revision from)
      : state_(std::make_shared<State>()),
        watch_(store.watch(std::move(prefix), from,
                           [state = state_](const Result<port::ChangeBatch, port::StoreError>& news) {
                             const std::lock_guard lock(state->mutex);
                             if (news) {
                               state->batches.push_back(*news);
                             } else {
                               state->errors.push_back(news.error());
                             }
                             state->changed.notify_all();
                           })) {}

  // False when it did not become true in good time.
  bool wait_until(
      const std::function<bool(const std::vector<port::ChangeBatch>&, const std::vector<port::StoreError>&)>& what) {
    std::unique_lock lock(state_->mutex);
    return state_->changed.wait_for(lock, kPatience, [&] { return what(state_->batches, state_->errors); });
  }
  bool wait_for_revision(port::Revision revision) {
    return wait_until(
        [&](const auto& batches, const auto&) { return !batches.empty() && batches.back().revision >= revision; });
  }
  bool wait_for_error() {
    return wait_until([](const auto&, const auto& errors) { return !errors.empty(); });
  }
  std::vector<port::ChangeBatch> batches() const {
    const std::lock_guard lock(state_->mutex);
    return state_->batches;
  }
  std::vector<port::StoreError> errors() const {
    const std::lock_guard lock(state_->mutex);
    return state_->errors;
  }
  void stop() { watch_.reset(); }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<port::ChangeBatch> batches;
    std::vector<port::StoreError> errors;
  };
  std::shared_ptr<State> state_;
  std::unique_ptr<port::Watch> watch_;
};

// What is left when all changes of `batches` up to `revision` have happened.
inline std::map<std::string, port::Entry> fold(const std::vector<port::ChangeBatch>& batches,
                                               port::Revision revision = ~port::Revision{0}) {
  std::map<std::string, port::Entry> entries;
  for (const port::ChangeBatch& batch : batches) {
    if (batch.revision > revision) break;
    for (const port::Change& change : batch.changes) {
      if (change.kind == port::Write::Kind::put) {
        entries[change.entry.key] = change.entry;
      } else {
        entries.erase(change.entry.key);
      }
    }
  }
  return entries;
}

inline bool same(const port::Entry& left, const port::Entry& right) {
  return left.key == right.key && left.value == right.value && left.created == right.created &&
         left.modified == right.modified && left.lease == right.lease;
}

// The whole history and the present of a store with all its history agree, and no revision is missing.
inline void expect_consistent(port::Store& store) {
  const auto now = range(store, {""});
  ASSERT_TRUE(now.has_value());
  WatchLog log(store, "", 1);
  if (now->revision > 0) {
    ASSERT_TRUE(log.wait_for_revision(now->revision));
  }
  const std::vector<port::ChangeBatch> batches = log.batches();
  ASSERT_EQ(batches.size(), now->revision);
  for (std::size_t i = 0; i < batches.size(); ++i) ASSERT_EQ(batches[i].revision, i + 1);
  const auto entries = fold(batches);
  ASSERT_EQ(entries.size(), now->entries.size());
  for (const port::Entry& entry : now->entries) {
    const auto found = entries.find(entry.key);
    ASSERT_TRUE(found != entries.end()) << entry.key;
    EXPECT_TRUE(same(found->second, entry)) << entry.key;
  }
}

// A loop on a thread of its own; its clock stands still but for advance().
class TestLoop final : public port::Executor {
 public:
  TestLoop() : thread_([this] { run(); }) {}
  ~TestLoop() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  TestLoop(const TestLoop&) = delete;
  TestLoop& operator=(const TestLoop&) = delete;

  void post(std::function<void()> work) override {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
    changed_.notify_all();
  }
  void post_after(Milliseconds delay_ms, std::function<void()> work) override {
    const std::lock_guard lock(mutex_);
    timers_.emplace(now_.monotonic_ms + delay_ms, std::move(work));
    changed_.notify_all();
  }
  [[nodiscard]] Now now() const override {
    const std::lock_guard lock(mutex_);
    return now_;
  }
  void advance(Milliseconds by_ms) {
    const std::lock_guard lock(mutex_);
    now_.monotonic_ms += by_ms;
    changed_.notify_all();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      std::function<void()> work;
      if (!timers_.empty() && timers_.begin()->first <= now_.monotonic_ms) {
        work = std::move(timers_.begin()->second);
        timers_.erase(timers_.begin());
      } else if (!queue_.empty()) {
        work = std::move(queue_.front());
        queue_.pop_front();
      } else {
        changed_.wait(lock);
        continue;
      }
      lock.unlock();
      work();
      work = nullptr;
      lock.lock();
    }
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  std::multimap<Milliseconds, std::function<void()>> timers_;
  Now now_;
  bool stopping_ = false;
  std::thread thread_;
};

// A new directory, removed with all in it.
class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(const std::filesystem::path& parent = std::filesystem::temp_directory_path()) {
    std::string name = parent / "gantry-store-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  [[nodiscard]] std::string file(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace gantry::store
