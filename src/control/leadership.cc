#include "control/leadership.h"

#include <utility>

#include "control/records.h"
#include "model/keys.h"

namespace gantry::control {

std::string leader_key() { return model::record_key(model::kLeader, "manager"); }

class Leadership::Impl : public std::enable_shared_from_this<Leadership::Impl> {
 public:
  Impl(port::Store& store, port::Executor& executor, LeadershipOptions options, LeadershipEvents events)
      : store_(store), executor_(executor), options_(std::move(options)), events_(std::move(events)) {}

  void start() {
    watch();
    tick();
  }

  void resign(std::function<void()> done) {
    ended_ = true;
    if (!std::exchange(leads_, false)) return done();
    store_.revoke_lease(lease_, [&executor = executor_, done = std::move(done)](const auto&) { executor.post(done); });
  }

 private:
  using Leased = Result<port::LeaseId, port::StoreError>;
  using Ranged = Result<port::Range, port::StoreError>;

  // Answers come on threads of the store's.
  template <class Argument, class Work>
  auto on_loop(Work work) {
    return [&executor = executor_, weak = weak_from_this(), work = std::move(work)](Argument argument) {
      executor.post([weak, work, taken = std::move(argument)]() mutable {
        const auto self = weak.lock();
        if (self && !self->ended_) work(*self, std::move(taken));
      });
    };
  }

  [[nodiscard]] Milliseconds now_ms() const { return executor_.now().monotonic_ms; }

  void tick() {
    if (ended_) return;
    if (leads_ && now_ms() - heard_ms_ > options_.silence_ms) {
      return lose("the store has not answered for " + std::to_string(options_.silence_ms / 1000) + " s");
    }
    if (leads_) keep_alive();
    if (!watch_) watch();
    look();
    executor_.post_after(options_.period_ms, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->tick();
    });
  }

  // Only makes it faster: what is so is found by looking.
  void watch() {
    watch_ = store_.watch(leader_key(), 0,
                          on_loop<Result<port::ChangeBatch, port::StoreError>>([](Impl& self, const auto& batch) {
                            if (!batch) self.watch_.reset();
                            self.look();
                          }));
  }

  void look() {
    look_again_ = looking_ || campaigning_;
    if (look_again_) return;
    looking_ = true;
    store_.range({.first = leader_key(), .end = leader_key() + '\0', .limit = 1},
                 on_loop<Ranged>([](Impl& self, const Ranged& range) {
                   self.looking_ = false;
                   self.looked(range);
                   if (self.look_again_ && !self.ended_) self.look();
                 }));
  }

  void looked(const Ranged& range) {
    if (!range) return leads_ ? void() : stands_by(std::nullopt, "the store does not answer");
    const port::Entry* entry = range->entries.empty() ? nullptr : &range->entries.front();
    if (leads_) {
      if (entry == nullptr || entry->modified != fence_.modified) lose("its lease of the store has ended");
      return;
    }
    if (entry == nullptr) return campaign();
    v1::Leader leader;
    const bool read = leader.ParseFromString(entry->value);
    stands_by(leader, read ? "" : "its record cannot be understood");
  }

  void stands_by(std::optional<v1::Leader> leader, const std::string& trouble) {
    std::string told = trouble + '\0' + (leader ? "leader " + leader->SerializeAsString() : "");
    if (std::exchange(told_, told) != told) events_.stands_by(leader, trouble);
  }

  void campaign() {
    campaigning_ = true;
    heard_ms_ = now_ms();
    store_.grant_lease(options_.lease_ms, on_loop<Leased>([](Impl& self, const Leased& lease) {
                         if (lease) return self.stand(*lease);
                         self.campaigning_ = false;
                         self.stands_by(std::nullopt, "the store grants no lease");
                       }));
  }

  void stand(port::LeaseId lease) {
    lease_ = lease;
    set_time(*options_.self.mutable_since(), executor_.now().unix_ms);
    port::Txn txn;
    txn.compares.push_back({leader_key(), 0});
    txn.writes.push_back({.key = leader_key(), .value = options_.self.SerializeAsString(), .lease = lease});
    // Also when it has ended meanwhile: a lease that nobody wants is given back.
    store_.commit(std::move(txn), [&executor = executor_, &store = store_, lease,
                                   weak = weak_from_this()](const port::CommitResult& result) {
      executor.post([weak, &store, lease, result] {
        const auto self = weak.lock();
        if (self && !self->ended_) return self->stood(result);
        if (self) store.revoke_lease(lease, [](const auto&) {});
      });
    });
  }

  void stood(const port::CommitResult& result) {
    campaigning_ = false;
    if (result.outcome == port::CommitOutcome::committed) {
      leads_ = true;
      fence_ = {leader_key(), result.revision};
      told_.clear();
      return events_.leads(fence_);
    }
    // If it was written all the same, or is yet to be, it goes with its lease. Nobody leads by a commit of whose fate
    // it is not sure.
    store_.revoke_lease(lease_, [](const auto&) {});
    if (result.outcome == port::CommitOutcome::conflict) look();
  }

  void keep_alive() {
    if (std::exchange(keeping_, true)) return;
    store_.keep_lease_alive(lease_, on_loop<Leased>([asked_ms = now_ms()](Impl& self, const Leased& kept) {
                              self.keeping_ = false;
                              if (!self.leads_) return;
                              if (kept) self.heard_ms_ = asked_ms;
                              if (!kept && kept.error() == port::StoreError::no_such_lease) {
                                self.lose("its lease of the store has ended");
                              }
                            }));
  }

  void lose(const std::string& why) {
    ended_ = true;
    leads_ = false;
    events_.lost(why);
  }

  port::Store& store_;
  port::Executor& executor_;
  LeadershipOptions options_;
  const LeadershipEvents events_;
  std::unique_ptr<port::Watch> watch_;
  std::string told_;
  bool looking_ = false;
  bool look_again_ = false;
  bool campaigning_ = false;
  bool keeping_ = false;
  bool leads_ = false;
  bool ended_ = false;
  port::LeaseId lease_ = 0;
  port::Compare fence_;
  // When the last question was asked that the store has answered.
  Milliseconds heard_ms_ = 0;
};

Leadership::Leadership(port::Store& store, port::Executor& executor, LeadershipOptions options, LeadershipEvents events)
    : impl_(std::make_shared<Impl>(store, executor, std::move(options), std::move(events))) {}
Leadership::~Leadership() = default;

void Leadership::start() { impl_->start(); }
void Leadership::resign(std::function<void()> done) { impl_->resign(std::move(done)); }

}  // namespace gantry::control
