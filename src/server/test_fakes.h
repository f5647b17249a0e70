// A store and a manager for the server's tests, small enough to see through.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gantry/v1/routes.pb.h"
#include "port/console.h"
#include "port/manager.h"
#include "port/store.h"

namespace gantry::server::testing {

// Keeps everything in a map and answers at once, on the thread of the call.
class FakeStore final : public port::Store {
 public:
  void commit(port::Txn txn, CommitCallback done) override {
    std::unique_lock lock(mutex_);
    if (before_commit_) {
      const auto meanwhile = std::exchange(before_commit_, nullptr);
      lock.unlock();
      meanwhile();
      lock.lock();
    }
    if (unavailable_) {
      lock.unlock();
      return done({port::CommitOutcome::unavailable, 0, "the fake is switched off"});
    }
    for (const port::Compare& compare : txn.compares) {
      const auto found = entries_.find(compare.key);
      if ((found == entries_.end() ? 0 : found->second.modified) == compare.modified) continue;
      const port::Revision revision = revision_;
      lock.unlock();
      return done({port::CommitOutcome::conflict, revision, {}});
    }
    port::ChangeBatch batch{revision_ + 1, {}};
    for (const port::Write& write : txn.writes) apply(write, batch);
    if (!batch.changes.empty()) {
      ++revision_;
      history_.push_back(batch);
    }
    const port::Revision revision = revision_;
    lock.unlock();
    done({port::CommitOutcome::committed, revision, {}});
    pump();
  }

  void range(port::RangeRequest request, RangeCallback done) override {
    std::unique_lock lock(mutex_);
    port::Range range;
    range.revision = revision_;
    for (const auto& [key, entry] : entries_) {
      const bool within =
          request.end.empty() ? key.rfind(request.first, 0) == 0 : key >= request.first && key < request.end;
      if (within && (request.limit == 0 || range.entries.size() < request.limit)) range.entries.push_back(entry);
    }
    const bool unavailable = unavailable_;
    if (silent_) return;
    lock.unlock();
    if (unavailable) return done(tl::unexpected(port::StoreError::unavailable));
    done(std::move(range));
  }

  std::unique_ptr<port::Watch> watch(std::string prefix, port::Revision from, port::WatchCallback callback) override {
    auto watcher = std::make_shared<Watcher>();
    {
      const std::lock_guard lock(mutex_);
      watcher->prefix = std::move(prefix);
      watcher->next = from == 0 ? revision_ + 1 : from;
      watcher->callback = std::move(callback);
      watchers_.insert(watcher);
    }
    pump();
    return std::make_unique<FakeWatch>(*this, watcher);
  }

  void grant_lease(Milliseconds, LeaseCallback done) override { done(1); }
  void keep_lease_alive(port::LeaseId lease, LeaseCallback done) override { done(lease); }
  void revoke_lease(port::LeaseId lease, LeaseCallback done) override { done(lease); }
  void compact(port::Revision revision, std::function<void(Result<port::Revision, port::StoreError>)> done) override {
    {
      const std::lock_guard lock(mutex_);
      compacted_ = revision;
    }
    done(revision);
  }

  // For the tests.
  // What happens between the next commit's reads and that commit.
  void before_next_commit(std::function<void()> meanwhile) {
    const std::lock_guard lock(mutex_);
    before_commit_ = std::move(meanwhile);
  }
  void put(const std::string& key, const google::protobuf::Message& record) { put_all({{key, &record}}); }
  void put_all(const std::vector<std::pair<std::string, const google::protobuf::Message*>>& records) {
    port::Txn txn;
    for (const auto& [key, record] : records) txn.writes.push_back({.key = key, .value = record->SerializeAsString()});
    commit(std::move(txn), [](const port::CommitResult&) {});
  }
  void erase(const std::string& key) {
    port::Txn txn;
    txn.writes.push_back({.kind = port::Write::Kind::erase, .key = key, .value = {}});
    commit(std::move(txn), [](const port::CommitResult&) {});
  }
  std::map<std::string, port::Entry> entries() {
    const std::lock_guard lock(mutex_);
    return entries_;
  }
  port::Revision revision() {
    const std::lock_guard lock(mutex_);
    return revision_;
  }
  std::size_t watchers() {
    const std::lock_guard lock(mutex_);
    return watchers_.size();
  }
  void set_unavailable(bool unavailable) {
    const std::lock_guard lock(mutex_);
    unavailable_ = unavailable;
  }
  // Reads are never answered.
  void set_silent(bool silent) {
    const std::lock_guard lock(mutex_);
    silent_ = silent;
  }

 private:
  struct Watcher {
    std::string prefix;
    port::Revision next = 0;
    port::WatchCallback callback;
    bool ended = false;
  };
  class FakeWatch final : public port::Watch {
   public:
    FakeWatch(FakeStore& store, std::shared_ptr<Watcher> watcher) : store_(store), watcher_(std::move(watcher)) {}
    ~FakeWatch() override {
      const std::lock_guard delivering(store_.delivering_);
      const std::lock_guard lock(store_.mutex_);
      watcher_->ended = true;
      store_.watchers_.erase(watcher_);
    }

   private:
    FakeStore& store_;
    std::shared_ptr<Watcher> watcher_;
  };

  void apply(const port::Write& write, port::ChangeBatch& batch) {
    port::Entry entry{write.key, write.value, batch.revision, batch.revision, write.lease};
    if (write.kind == port::Write::Kind::erase) {
      if (entries_.erase(write.key) == 0) return;
      entry.value.clear();
      entry.created = 0;
    } else {
      const auto found = entries_.find(write.key);
      if (found != entries_.end()) entry.created = found->second.created;
      entries_[write.key] = entry;
    }
    batch.changes.push_back({write.kind, entry});
  }

  // The next call of a watcher, made under the lock.
  std::function<void()> next_call(const std::shared_ptr<Watcher>& watcher) {
    if (watcher->ended) return nullptr;
    if (watcher->next <= compacted_) {
      watcher->ended = true;
      return [watcher] { watcher->callback(tl::unexpected(port::StoreError::compacted)); };
    }
    for (const port::ChangeBatch& batch : history_) {
      if (batch.revision < watcher->next) continue;
      watcher->next = batch.revision + 1;
      port::ChangeBatch within{batch.revision, {}};
      for (const auto& change : batch.changes) {
        if (change.entry.key.rfind(watcher->prefix, 0) == 0) within.changes.push_back(change);
      }
      if (!within.changes.empty()) return [watcher, within] { watcher->callback(within); };
    }
    return nullptr;
  }

  void pump() {
    const std::lock_guard delivering(delivering_);
    while (true) {
      std::function<void()> call;
      {
        const std::lock_guard lock(mutex_);
        for (const auto& watcher : watchers_) {
          call = next_call(watcher);
          if (call) break;
        }
      }
      if (!call) return;
      call();
    }
  }

  std::recursive_mutex delivering_;
  std::mutex mutex_;
  std::map<std::string, port::Entry> entries_;
  std::vector<port::ChangeBatch> history_;
  std::set<std::shared_ptr<Watcher>> watchers_;
  port::Revision revision_ = 0;
  port::Revision compacted_ = 0;
  bool unavailable_ = false;
  bool silent_ = false;
  std::function<void()> before_commit_;
};

// Answers every route with a message of the right type; `override_answer` goes first.
class FakeManager final : public port::Manager {
 public:
  struct Call {
    std::string rpc;
    std::string request;
    port::CallOptions options;
  };
  using Override = std::function<bool(const Call& call, const Answer& done)>;

  void call(const std::string& rpc, const google::protobuf::Message& request, const port::CallOptions& options,
            Answer done) override {
    const Call call{rpc, request.ShortDebugString(), options};
    Override custom;
    {
      const std::lock_guard lock(mutex_);
      calls_.push_back(call);
      custom = override_;
    }
    if (custom && custom(call, done)) return;
    done(sample(rpc, options.dry_run));
  }

  void override_answer(Override custom) {
    const std::lock_guard lock(mutex_);
    override_ = std::move(custom);
  }
  std::vector<Call> calls() {
    const std::lock_guard lock(mutex_);
    return calls_;
  }

  static std::unique_ptr<google::protobuf::Message> sample(const std::string& rpc, bool dry_run);

 private:
  std::mutex mutex_;
  std::vector<Call> calls_;
  Override override_;
};

// A console that echoes, after a greeting.
class FakeConsole final : public port::Console {
 public:
  Result<std::unique_ptr<port::ConsoleSession>> open(const std::string& vm_id,
                                                     std::function<void(std::string_view)> output,
                                                     std::function<void()> closed) override {
    if (vm_id == "vm-off") return fail(ErrorCode::conflict, "the VM does not run", "it has no console", "start it");
    output("console of " + vm_id + "\n");
    const std::lock_guard lock(mutex_);
    output_ = output;
    closed_ = closed;
    return std::make_unique<Session>(std::move(output));
  }
  void print(const std::string& text) {
    const std::lock_guard lock(mutex_);
    output_(text);
  }
  void end() {
    const std::lock_guard lock(mutex_);
    closed_();
  }

 private:
  class Session final : public port::ConsoleSession {
   public:
    explicit Session(std::function<void(std::string_view)> output) : output_(std::move(output)) {}
    void write(std::string_view bytes) override { output_("echo:" + std::string(bytes)); }

   private:
    std::function<void(std::string_view)> output_;
  };
  std::mutex mutex_;
  std::function<void(std::string_view)> output_;
  std::function<void()> closed_;
};

}  // namespace gantry::server::testing
