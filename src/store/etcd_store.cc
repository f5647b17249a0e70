#include "store/etcd_store.h"

#include <algorithm>
#include <future>
#include <set>
#include <utility>

#include "store/etcd_client.h"
#include "store/etcd_loop.h"
#include "store/etcd_messages.h"
#include "store/etcd_open.h"
#include "store/etcd_range.h"
#include "store/etcd_watch.h"
#include "store/rules.h"
#include "store/watch_hub.h"

namespace gantry::store {
namespace {

using port::CommitOutcome;
using port::StoreError;

// History is forgotten by so many revisions at a time.
constexpr port::Revision kTrimRevisions = 1'000;
constexpr const char* kClosed = "the store was closed";

tl::unexpected<StoreError> no(StoreError error) { return tl::unexpected<StoreError>(error); }

class EtcdStore final : public port::Store {
 public:
  EtcdStore(const EtcdStoreOptions& options, const EtcdPems& pems)
      : options_(options), loop_(std::make_shared<EtcdLoop>([this] { close(); })), client_(*loop_, options_, pems) {}
  ~EtcdStore() override { loop_->close(); }
  EtcdStore(const EtcdStore&) = delete;
  EtcdStore& operator=(const EtcdStore&) = delete;

  void commit(port::Txn txn, CommitCallback done) override {
    loop_->post([this, txn = std::make_shared<const port::Txn>(std::move(txn)), done = std::move(done)] {
      std::string reason = invalid_reason(*txn);
      if (const auto lease = impossible_lease(*txn)) reason = "no such lease: " + std::to_string(*lease);
      if (!reason.empty()) return done({CommitOutcome::unavailable, 0, reason});
      after_new_watches([this, txn, done](const std::string& trouble) {
        if (!trouble.empty()) return done({CommitOutcome::unavailable, 0, trouble});
        send(txn, done);
      });
    });
  }

  void range(port::RangeRequest request, RangeCallback done) override {
    loop_->post([this, request = std::move(request), done = std::move(done)] {
      auto seen = [this, done](Result<port::Range, StoreError> range) {
        if (range) saw(range->revision);
        done(std::move(range));
      };
      std::make_shared<EtcdRange>(client_, request, options_.page_entries, std::move(seen))->start();
    });
  }

  std::unique_ptr<port::Watch> watch(std::string prefix, port::Revision from, port::WatchCallback callback) override {
    auto slot = std::make_shared<WatchSlot>(std::move(prefix), std::move(callback));
    auto watch = std::make_shared<EtcdWatch>(*loop_, client_, slot, options_.request_timeout_ms);
    loop_->post([this, watch, from] { begin(watch, from); });
    return make_watch(std::move(slot), std::make_unique<Owner>(*this, std::move(watch)));
  }

  void grant_lease(Milliseconds ttl_ms, LeaseCallback done) override {
    loop_->post([this, ttl_ms, done = std::move(done)] {
      if (ttl_ms <= 0) return done(no(StoreError::invalid));
      etcdserverpb::LeaseGrantRequest request;
      request.set_ttl(lease_seconds(ttl_ms));
      client_.grant(std::move(request), [done, least_s = lease_seconds(ttl_ms)](const auto& reply) {
        if (reply.status.code == EtcdCode::out_of_range) return done(no(StoreError::invalid));
        if (!reply.ok() || reply.message.id() <= 0 || reply.message.ttl() < least_s) {
          return done(no(StoreError::unavailable));
        }
        done(static_cast<port::LeaseId>(reply.message.id()));
      });
    });
  }

  void keep_lease_alive(port::LeaseId lease, LeaseCallback done) override {
    loop_->post([this, lease, done = std::move(done)] {
      const auto id = static_cast<std::int64_t>(lease);
      if (id <= 0) return done(no(StoreError::no_such_lease));
      etcdserverpb::LeaseKeepAliveRequest request;
      request.set_id(id);
      client_.keep_alive(std::move(request), [lease, id, done](const auto& reply) {
        if (reply.status.code == EtcdCode::not_found) return done(no(StoreError::no_such_lease));
        if (!reply.ok() || reply.message.id() != id) return done(no(StoreError::unavailable));
        if (reply.message.ttl() <= 0) return done(no(StoreError::no_such_lease));
        done(lease);
      });
    });
  }

  void revoke_lease(port::LeaseId lease, LeaseCallback done) override {
    loop_->post([this, lease, done = std::move(done)] {
      const auto id = static_cast<std::int64_t>(lease);
      if (id <= 0) return done(no(StoreError::no_such_lease));
      after_new_watches([this, lease, id, done](const std::string& trouble) {
        if (!trouble.empty()) return done(no(StoreError::unavailable));
        etcdserverpb::LeaseRevokeRequest request;
        request.set_id(id);
        client_.revoke(std::move(request), [lease, done](const auto& reply) {
          const bool gone = reply.status.code == EtcdCode::not_found;
          // Perhaps an earlier try of ours has ended it.
          if (reply.ok() || (gone && reply.was_in_doubt)) return done(lease);
          done(no(gone ? StoreError::no_such_lease : StoreError::unavailable));
        });
      });
    });
  }

  void compact(port::Revision revision, std::function<void(Result<port::Revision, StoreError>)> done) override {
    loop_->post([this, revision, done = std::move(done)] {
      if (revision <= seen_) return forget_before(revision, done);
      learn_present([this, revision, done](port::Revision present, const EtcdStatus&, EtcdFate) {
        if (present == 0) return done(no(StoreError::unavailable));
        if (revision > present) return done(no(StoreError::invalid));
        forget_before(revision, done);
      });
    });
  }

  void ask(std::function<void(const EtcdAnswer&)> done) {
    loop_->post([this, done = std::move(done)] {
      learn_present([this, done](port::Revision present, const EtcdStatus& status, EtcdFate fate) {
        const std::string troubles = client_.troubles();
        // Who answers without a revision will do so again.
        const bool for_good = fate == EtcdFate::refused || (fate == EtcdFate::done && present == 0);
        done({present, for_good, troubles.empty() ? status.message : troubles});
      });
    });
  }

  EtcdClient::Clusters ask_clusters() {
    auto answer = std::make_shared<std::promise<EtcdClient::Clusters>>();
    loop_->post(
        [this, answer] { client_.ask_clusters([answer](const auto& clusters) { answer->set_value(clusters); }); });
    return answer->get_future().get();
  }

 private:
  // What its owner holds of a watch.
  class Owner final : public port::Watch {
   public:
    Owner(EtcdStore& store, std::shared_ptr<EtcdWatch> watch)
        : store_(store), loop_(store.loop_), watch_(std::move(watch)) {}
    ~Owner() override {
      // Dropped when the store is gone.
      loop_->post([store = &store_, watch = watch_] {
        watch->stop();
        store->watches_.erase(watch);
      });
    }
    Owner(const Owner&) = delete;
    Owner& operator=(const Owner&) = delete;

   private:
    EtcdStore& store_;
    std::shared_ptr<EtcdLoop> loop_;
    std::shared_ptr<EtcdWatch> watch_;
  };
  // Given why it cannot go on, or nothing.
  using Waiting = std::function<void(const std::string& trouble)>;

  // The rest is the loop's.

  void close() {
    closed_ = true;
    client_.close();
    let_go(kClosed);
    for (const auto& watch : watches_) watch->slot()->end();
  }

  void saw(port::Revision revision) {
    seen_ = std::max(seen_, revision);
    if (options_.history_revisions_max == 0) return;
    if (seen_ < forgotten_before_ + options_.history_revisions_max + kTrimRevisions) return;
    forget_before(seen_ - options_.history_revisions_max, [](const auto&) {});
  }

  // etcd keeps what is erased at the revision it compacts to only sometimes, and serves watches from it all the same.
  // So it is given the revision before; watches ask for one more than they want (etcd_watch.cc).
  void forget_before(port::Revision revision, const std::function<void(Result<port::Revision, StoreError>)>& done) {
    forgotten_before_ = std::max(forgotten_before_, revision);
    if (revision <= 1) return done(revision);
    etcdserverpb::CompactionRequest request;
    request.set_revision(static_cast<std::int64_t>(revision - 1));
    client_.compact(std::move(request), [revision, done](const auto& reply) {
      if (reply.ok() || is_compacted(reply.status)) return done(revision);
      done(no(reply.status.code == EtcdCode::out_of_range ? StoreError::invalid : StoreError::unavailable));
    });
  }

  // 0: nobody says.
  void learn_present(std::function<void(port::Revision present, const EtcdStatus&, EtcdFate)> done) {
    client_.range(present_request(), [this, done = std::move(done)](const auto& reply) {
      const port::Revision present = reply.ok() ? revision_of(reply.message.header()) : 0;
      if (present != 0) saw(present);
      done(present, reply.status, reply.fate);
    });
  }

  void send(const std::shared_ptr<const port::Txn>& txn, const CommitCallback& done) {
    client_.txn(to_request(*txn), [this, txn, done](const auto& reply) {
      if (is_full(reply.status) && !txn->writes.empty()) return settle_full(*txn, done);
      const port::CommitResult result = to_result(*txn, reply, client_.troubles());
      saw(result.revision);
      done(result);
    });
  }

  // etcd says that it is full both of what it did not do and of what it just did. When a key that was both compared and
  // to be written is as it was compared, it was not done; the answer came after the deed.
  void settle_full(const port::Txn& txn, const CommitCallback& done) {
    const std::string why = "etcd is full: have it compacted and defragmented, then: etcdctl alarm disarm";
    const port::Compare* witness = nullptr;
    for (const port::Compare& compare : txn.compares) {
      // To erase what is not there leaves no trace.
      const bool written = std::any_of(txn.writes.begin(), txn.writes.end(), [&](const port::Write& write) {
        return write.key == compare.key && (compare.modified != 0 || write.kind == port::Write::Kind::put);
      });
      if (written) witness = &compare;
    }
    if (witness == nullptr) return done({CommitOutcome::unknown, 0, why});
    etcdserverpb::RangeRequest request;
    request.set_key(witness->key);
    client_.range(std::move(request), [done, why, modified = witness->modified](const auto& reply) {
      if (!reply.ok()) return done({CommitOutcome::unknown, 0, why});
      const auto& kvs = reply.message.kvs();
      const port::Revision now = kvs.empty() ? 0 : static_cast<port::Revision>(kvs[0].mod_revision());
      done({now == modified ? CommitOutcome::unavailable : CommitOutcome::unknown, 0, why});
    });
  }

  void begin(const std::shared_ptr<EtcdWatch>& watch, port::Revision from) {
    if (closed_) return;
    watches_.insert(watch);
    if (from != 0 && from <= seen_ + 1) return watch->start(from);
    if (from == 0) ++new_watches_;
    resolve(watch, from);
  }

  // Finds out where a watch from the present begins, or whether `from` is of the future.
  void resolve(const std::shared_ptr<EtcdWatch>& watch, port::Revision from) {
    if (watches_.count(watch) == 0) return from == 0 ? resolved() : void();
    learn_present([this, watch, from](port::Revision present, const EtcdStatus&, EtcdFate fate) {
      if (closed_) return;
      if (present != 0 && from > present + 1) return watch->slot()->fail(StoreError::invalid);
      if (present != 0) {
        watch->start(from == 0 ? present + 1 : from);
        return from == 0 ? resolved() : void();
      }
      if (from == 0) let_go("etcd does not answer: " + client_.troubles());
      if (fate == EtcdFate::refused) {
        watch->slot()->fail(StoreError::unavailable);
        return from == 0 ? resolved() : void();
      }
      loop_->after(client_.wait_before(++resolve_failures_), [this, watch, from] { resolve(watch, from); });
    });
  }

  void resolved() {
    resolve_failures_ = 0;
    if (--new_watches_ == 0) let_go({});
  }

  void let_go(const std::string& trouble) {
    const std::vector<Waiting> waiting = std::exchange(waiting_, {});
    for (const Waiting& each : waiting) each(trouble);
  }

  // What changes something waits until watches from the present, begun before, know where that is.
  void after_new_watches(Waiting work) {
    if (new_watches_ != 0 && !closed_) {
      waiting_.push_back(std::move(work));
    } else {
      work(closed_ ? kClosed : "");
    }
  }

  const EtcdStoreOptions options_;
  std::set<std::shared_ptr<EtcdWatch>> watches_;
  std::vector<Waiting> waiting_;
  // From 0, and not begun yet.
  int new_watches_ = 0;
  int resolve_failures_ = 0;
  bool closed_ = false;
  // The highest revision heard of.
  port::Revision seen_ = 0;
  port::Revision forgotten_before_ = 0;
  std::shared_ptr<EtcdLoop> loop_;
  EtcdClient client_;
};

}  // namespace

Result<std::unique_ptr<port::Store>> open_etcd_store(EtcdStoreOptions options) {
  auto pems = read_etcd_pems(options);
  if (!pems) return fail(pems.error());
  std::unique_ptr<EtcdStore> store;
  try {
    store = std::make_unique<EtcdStore>(options, *pems);
  } catch (const std::exception& failure) {
    return fail(ErrorCode::unavailable, "cannot use the store in etcd",
                std::string("its thread cannot be started: ") + failure.what());
  }
  const auto reached = wait_for_etcd(options, [&store](auto done) { store->ask(std::move(done)); });
  if (!reached) return fail(reached.error());
  if (auto one = see_one_cluster(store->ask_clusters()); !one) return fail(one.error());
  return store;
}

}  // namespace gantry::store
