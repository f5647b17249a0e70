// Hosts that fight over one lease, over a modelled disk and against the truth. Each host's machine is driven as the
// sentinel does it, but by the worst process there could be: it stalls at any point, its clock is wrong by up to one in
// a hundred, it dies and comes back without memory, its reads and writes take long, fail, and take effect long after it
// gave them up. What is counted on: a guest does nothing any more at kill_at_ms() on its host's clock; or on a pool
// that can refuse what a client writes, not even that: there guests go on for ever, and writes of the record are
// refused where another was written since it was read, as Ceph does both.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "host/lease.h"

namespace gantry::host {
namespace {

struct Clash {
  Milliseconds at_ms;
  std::string text;
};

struct Medium {
  // Of clients that it is told of, and of records that were written over what is not there any more.
  bool refuses = false;
  bool forgets_to = false;
};

class Model {
 public:
  Model(std::uint64_t seed, std::size_t hosts, const LeaseTimes& times, const Medium& medium = {})
      : rng_(seed), times_(times), medium_(medium) {
    // Seeds differ in how much goes wrong.
    stall_chance_ = rng_.below(100);
    failure_chance_ = rng_.below(80);
    slow_chance_ = rng_.below(250);
    crash_chance_ = rng_.below(20);
    for (std::size_t i = 0; i < hosts; ++i) {
      hosts_.push_back(std::make_unique<Host>());
      Host& host = *hosts_.back();
      host.name = std::string(1, static_cast<char>('a' + i));
      host.drift_per_mille = static_cast<Milliseconds>(rng_.below(21)) - 10;
      host.lease = std::make_unique<Lease>(host.name, times_);
      after(rng_.below(50), [this, i] { drive(*hosts_[i], hosts_[i]->process); });
    }
    after(0, [this] { place(); });
  }

  void run(Milliseconds until_ms) {
    while (!queue_.empty() && queue_.begin()->first <= until_ms && !clash) {
      now_ms_ = queue_.begin()->first;
      const auto work = std::move(queue_.begin()->second);
      queue_.erase(queue_.begin());
      work();
      look();
    }
    now_ms_ = until_ms;
  }
  // From now on nothing goes wrong, but writes that were given up may come yet; at last the manager places it once
  // more.
  void heal() {
    calm_ = true;
    after(100'000, [this] {
      place();
      for (auto& host : hosts_) {
        if (host != hosts_[placed_]) stop(*host);
      }
    });
  }
  // The host that was placed last has the lease.
  [[nodiscard]] bool wanted_runs() const { return right_of(*hosts_[placed_]) == LeaseRight::run; }

  [[nodiscard]] std::string text() const {
    std::string text;
    for (const auto& host : hosts_) {
      text += host->name + " wants epoch " + std::to_string(host->wanted) + ", phase " +
              std::to_string(static_cast<int>(host->lease->phase())) + ": " + host->lease->obstacle(clock_of(*host)) +
              "\n";
    }
    return text;
  }

  std::optional<Clash> clash;
  std::size_t takeovers = 0;

 private:
  struct Host {
    std::string name;
    Milliseconds drift_per_mille = 0;
    std::unique_ptr<Lease> lease;
    std::uint64_t process = 0;
    std::uint64_t wanted = 0;
    bool live = false;
    // On its own clock; outlives the process, as the guest does.
    Milliseconds dead_at_ms = 0;
    // Where the medium refuses: of each guest that ever ran here, the last; and how much of the record it has seen.
    std::uint64_t guest = 0;
    bool refused = false;
    std::uint64_t version = 0;
  };

  void after(std::uint64_t delay_ms, std::function<void()> work) {
    queue_.emplace(now_ms_ + static_cast<Milliseconds>(delay_ms), std::move(work));
  }
  [[nodiscard]] bool happens(std::uint64_t per_mille) { return !calm_ && rng_.chance(per_mille, 1'000); }
  [[nodiscard]] Milliseconds clock_of(const Host& host) const {
    return 1'000'000 + now_ms_ + now_ms_ * host.drift_per_mille / 1'000;
  }
  [[nodiscard]] LeaseRight right_of(const Host& host) const { return host.lease->right(clock_of(host)); }
  [[nodiscard]] std::uint64_t long_ms() { return 1 + rng_.below(std::uint64_t{1'500} << rng_.below(5)); }
  [[nodiscard]] std::uint64_t stall_ms() { return happens(stall_chance_) ? long_ms() : rng_.below(3); }
  [[nodiscard]] std::uint64_t latency_ms() { return happens(slow_chance_) ? long_ms() : 1 + rng_.below(30); }

  // The manager: each placement has an epoch of its own; hosts hear of it late.
  void place() {
    placed_ = rng_.below(hosts_.size());
    const std::uint64_t epoch = ++epoch_;
    Host& host = *hosts_[placed_];
    after(rng_.below(3'000), [&host, epoch] {
      host.wanted = std::max(host.wanted, epoch);
      host.lease->want(host.wanted, false);
    });
    if (!calm_) after(500 + rng_.below(rng_.chance(1, 2) ? 3'000 : 40'000), [this] { place(); });
  }

  // What may be true: a guest runs on from the moment it had the right until it is known to be dead.
  void look() {
    std::size_t alive = 0;
    std::string names;
    for (const auto& host : hosts_) {
      const LeaseRight right = right_of(*host);
      if (right == LeaseRight::run) {
        if (!host->live) {
          ++takeovers;
          ++host->guest;
          host->refused = false;
        }
        host->live = true;
        host->dead_at_ms = host->lease->kill_at_ms();
      } else if ((!medium_.refuses && clock_of(*host) >= host->dead_at_ms) || right == LeaseRight::none) {
        host->live = false;
      }
      if (!host->live || host->refused) continue;
      ++alive;
      names += " " + host->name + "@" + std::to_string(host->lease->epoch());
    }
    if (alive > 1) clash = Clash{now_ms_, names};
  }

  void stop(Host& host) {
    ++host.process;
    host.live = false;
    host.version = 0;
    host.lease = std::make_unique<Lease>(host.name, times_);
  }

  void crash(Host& host) {
    // The kernel freezes a guest that nobody guards: a new process finds it standing.
    stop(host);
    after(100 + rng_.below(60'000), [this, &host] {
      if (host.wanted != 0) host.lease->want(host.wanted, false);
      drive(host, host.process);
    });
  }

  void drive(Host& host, std::uint64_t process) {
    if (process != host.process) return;
    if (happens(crash_chance_)) return crash(host);
    // Also while a read or write is under way.
    maybe_give(host);
    after(rng_.below(100), [this, &host, process] {
      if (process == host.process) maybe_give(host);
    });
    const LeaseStep step = host.lease->next(clock_of(host));
    // It may stall between asking and doing, with the read or write still to be done.
    const auto later = stall_ms();
    if (step.read) {
      after(later, [this, &host, process] { read(host, process); });
    } else if (step.fence) {
      after(later, [this, &host, process, record = step.fence->record] { fence(host, process, record); });
    } else if (step.write) {
      after(later, [this, &host, process, write = *step.write] { this->write(host, process, write); });
    } else {
      const Milliseconds wait_ms = std::max<Milliseconds>(1, step.wake_ms - clock_of(host));
      after(static_cast<std::uint64_t>(wait_ms) + later, [this, &host, process] { drive(host, process); });
    }
  }

  // A guest ends: the lease is kept for its next start, or handed to the next host, which is told of it.
  void maybe_give(Host& host) {
    if (host.lease->phase() != LeasePhase::held || !happens(8)) return;
    host.live = false;
    if (rng_.chance(1, 2)) {
      host.lease->give(host.name, host.lease->epoch());
      return;
    }
    Host& heir = *hosts_[rng_.below(hosts_.size())];
    const std::uint64_t epoch = ++epoch_;
    host.lease->give(heir.name, epoch);
    gifts_.push_back({&host, host.lease->epoch(), &heir, epoch});
  }

  struct Gift {
    Host* from;
    std::uint64_t from_epoch;
    Host* to;
    std::uint64_t epoch;
  };

  void tell_of_gifts() {
    std::erase_if(gifts_, [this](const Gift& gift) {
      if (gift.from->lease->epoch() != gift.from_epoch) return true;
      if (gift.from->lease->phase() != LeasePhase::given) return false;
      after(rng_.below(happens(100) ? 40'000 : 50), [gift] {
        if (gift.to->wanted > gift.epoch) return;
        gift.to->wanted = gift.epoch;
        gift.to->lease->want(gift.epoch, false, true);
      });
      return true;
    });
  }

  void read(Host& host, std::uint64_t process) {
    const std::uint64_t takes_ms = latency_ms();
    const std::uint64_t effect_ms = rng_.below(takes_ms);
    const auto seen = std::make_shared<std::optional<LeaseRecord>>();
    const auto version = std::make_shared<std::uint64_t>(0);
    after(effect_ms, [this, seen, version] {
      *seen = disk_;
      *version = version_;
    });
    const bool fails = happens(failure_chance_);
    after(takes_ms + stall_ms(), [this, &host, process, seen, version, fails] {
      if (process != host.process) return;
      host.version = fails ? 0 : *version;
      if (fails) {
        host.lease->read_done(fail(ErrorCode::unavailable, "no answer"), clock_of(host));
      } else {
        host.lease->read_done(*seen, clock_of(host));
      }
      drive(host, process);
    });
  }

  // The clients are listed, then the record is looked at, then what they write is refused: with time between.
  void fence(Host& host, std::uint64_t process, const std::optional<LeaseRecord>& record) {
    const bool fails = happens(failure_chance_);
    const auto listed = std::make_shared<std::map<Host*, std::uint64_t>>();
    const auto goes_on = std::make_shared<bool>(false);
    const std::uint64_t listed_ms = latency_ms();
    const std::uint64_t looked_ms = listed_ms + latency_ms();
    const std::uint64_t refused_ms = looked_ms + latency_ms();
    after(listed_ms, [this, &host, listed] {
      for (const auto& other : hosts_) {
        if (other.get() != &host && other->live) (*listed)[other.get()] = other->guest;
      }
    });
    after(looked_ms, [this, record, goes_on] { *goes_on = disk_ == record; });
    // One whose process died, or that was given up, may come yet.
    after(refused_ms, [this, listed, goes_on] {
      if (!*goes_on || !medium_.refuses || medium_.forgets_to) return;
      for (const auto& [other, guest] : *listed) {
        if (other->guest == guest) other->refused = true;
      }
    });
    after(refused_ms + stall_ms(), [this, &host, process, fails, goes_on] {
      if (process != host.process) return;
      const bool worked = !fails && *goes_on;
      host.lease->fence_done(worked ? Result<void>() : fail(ErrorCode::unavailable, "no answer"), clock_of(host));
      drive(host, process);
    });
  }

  void write(Host& host, std::uint64_t process, const LeaseWrite& write) {
    const std::uint64_t takes_ms = latency_ms();
    const bool fails = happens(failure_chance_);
    // One that failed may take effect yet, much later, or never; so may one whose process died.
    const bool happens_yet = !fails || rng_.chance(2, 3);
    const std::uint64_t effect_ms = fails ? rng_.below(60'000) : rng_.below(takes_ms);
    // The version that it made.
    const auto worked = std::make_shared<std::uint64_t>(0);
    if (happens_yet) {
      after(effect_ms, [this, write, worked, over = host.version] {
        if (write.create && disk_) return;
        if (medium_.refuses && !write.create && over != version_) return;
        disk_ = write.record;
        *worked = ++version_;
      });
    }
    after(takes_ms + stall_ms(), [this, &host, process, fails, worked] {
      if (process != host.process) return;
      host.version = fails ? 0 : *worked;
      if (fails || !*worked) {
        host.lease->write_done(fail(ErrorCode::unavailable, "no answer"), clock_of(host));
      } else {
        host.lease->write_done({}, clock_of(host));
      }
      tell_of_gifts();
      // A guest that is over may be started again.
      if (host.lease->phase() == LeasePhase::given) {
        after(rng_.below(20'000), [&host] { host.lease->want(host.wanted, false); });
      }
      drive(host, process);
    });
  }

  Rng rng_;
  LeaseTimes times_;
  Medium medium_;
  bool calm_ = false;
  std::uint64_t stall_chance_ = 0;
  std::uint64_t failure_chance_ = 0;
  std::uint64_t slow_chance_ = 0;
  std::uint64_t crash_chance_ = 0;
  std::multimap<Milliseconds, std::function<void()>> queue_;
  Milliseconds now_ms_ = 0;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::optional<LeaseRecord> disk_;
  std::uint64_t version_ = 1;
  std::vector<Gift> gifts_;
  std::uint64_t epoch_ = 0;
  std::size_t placed_ = 0;
};

constexpr std::uint64_t kSeeds = 6'000;

void expect_one_at_most(const Medium& medium) {
  std::size_t takeovers = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Model model(seed, 2 + seed % 3, {}, medium);
    model.run(300'000);
    ASSERT_FALSE(model.clash) << "seed " << seed << " at " << model.clash->at_ms << " ms:" << model.clash->text;
    model.heal();
    model.run(480'000);
    ASSERT_FALSE(model.clash) << "seed " << seed << " at " << model.clash->at_ms << " ms:" << model.clash->text;
    ASSERT_TRUE(model.wanted_runs()) << "seed " << seed << "\n" << model.text();
    takeovers += model.takeovers;
  }
  // It is no test if nobody ever gets it.
  EXPECT_GT(takeovers, kSeeds * 3);
}

TEST(LeaseModelTest, NoTwoHostsEverRunTheGuestAndAfterHealingTheWantedOneDoes) { expect_one_at_most({}); }
TEST(LeaseModelTest, WhereThePoolRefusesItNoTwoGuestsEverWriteThoughNobodyPausesThem) {
  expect_one_at_most({.refuses = true});
}

bool some_seed_clashes(const LeaseTimes& times, const Medium& medium = {}) {
  for (std::uint64_t seed = 1; seed <= 60'000; ++seed) {
    Model model(seed, 2 + seed % 3, times, medium);
    model.run(300'000);
    if (model.clash) return true;
  }
  return false;
}

TEST(LeaseModelTest, AGuestThatIsNeitherPausedNorRefusedIsCaught) {
  EXPECT_TRUE(some_seed_clashes({}, {.refuses = true, .forgets_to = true}));
}

// Each of the times is needed: the model finds it out when one is wrong.
TEST(LeaseModelTest, ALeaseTakenTooSoonIsCaught) { EXPECT_TRUE(some_seed_clashes({.take_ms = 3'000})); }
TEST(LeaseModelTest, ALeaseThatDoesNotSettleIsCaught) { EXPECT_TRUE(some_seed_clashes({.settle_ms = 0})); }
TEST(LeaseModelTest, ALateWriteThatCountsIsCaught) { EXPECT_TRUE(some_seed_clashes({.write_ms = 60'000})); }
TEST(LeaseModelTest, AGuestThatDiesTooLateIsCaught) {
  EXPECT_TRUE(some_seed_clashes({.kill_ms = 20'000, .write_ms = 1'500}));
}

}  // namespace
}  // namespace gantry::host
