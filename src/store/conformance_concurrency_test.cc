// The contract of port/store.h under many threads. Revisions are the witness: a store is linearizable if each answer
// agrees with the state at its revision, and revisions never go against real time.
#include <set>

#include "base/rng.h"
#include "store/conformance.h"

namespace gantry::store {
namespace {

using port::CommitOutcome;

constexpr int kThreads = 64;
constexpr int kRounds = 40;
constexpr int kKeys = 5;

std::string key_of(std::uint64_t number) { return "/k/" + std::to_string(number); }

void raise_to(std::atomic<port::Revision>& highest, port::Revision revision) {
  port::Revision seen = highest.load();
  while (seen < revision && !highest.compare_exchange_weak(seen, revision)) {
  }
}

struct Attempt {
  port::Txn txn;
  port::CommitResult result;
};

struct Journal {
  std::vector<Attempt> attempts;
  std::vector<port::Range> ranges;
};

// One client: reads a key, sets it if it is as read, now and then reads all.
class Client {
 public:
  Client(port::Store& store, std::atomic<port::Revision>& answered, std::uint64_t number)
      : store_(store), answered_(answered), number_(number), rng_(number) {}

  void run() {
    for (int round = 0; round < kRounds; ++round) {
      const std::string key = key_of(rng_.below(kKeys));
      const port::Range seen = read({key, key + "!"});
      const port::Revision modified = seen.entries.empty() ? 0 : seen.entries[0].modified;
      const std::string name = std::to_string(number_) + "." + std::to_string(round);
      port::Txn txn{{{key, modified}}, {put("/own/" + std::to_string(number_), name)}};
      txn.writes.push_back(rng_.chance(1, 6) ? erase(key) : put(key, name));
      write(std::move(txn));
      if (rng_.chance(1, 8)) read({"/k/"});
    }
  }
  Journal take() { return std::move(journal_); }

 private:
  port::Range read(const port::RangeRequest& request) {
    const port::Revision before = answered_.load();
    const auto result = range(store_, request);
    EXPECT_TRUE(result.has_value());
    if (!result) return {};
    EXPECT_GE(result->revision, before) << "a read did not see a commit answered before it";
    raise_to(answered_, result->revision);
    if (request.end.empty()) journal_.ranges.push_back(*result);
    return *result;
  }

  void write(port::Txn txn) {
    const port::Revision before = answered_.load();
    const port::CommitResult result = commit(store_, txn);
    EXPECT_TRUE(result.outcome == CommitOutcome::committed || result.outcome == CommitOutcome::conflict);
    EXPECT_GE(result.revision, before + (result.outcome == CommitOutcome::committed ? 1 : 0));
    raise_to(answered_, result.revision);
    journal_.attempts.push_back({std::move(txn), result});
  }

  port::Store& store_;
  std::atomic<port::Revision>& answered_;
  std::uint64_t number_;
  Rng rng_;
  Journal journal_;
};

// For each key, when it changed: the revision, and `modified` from there on (0: erased).
using Timeline = std::map<std::string, std::map<port::Revision, port::Revision>>;

Timeline timeline_of(const std::vector<port::ChangeBatch>& history) {
  Timeline timeline;
  for (const port::ChangeBatch& batch : history) {
    for (const port::Change& change : batch.changes) {
      timeline[change.entry.key][batch.revision] = change.kind == port::Write::Kind::put ? batch.revision : 0;
    }
  }
  return timeline;
}

bool held(Timeline& timeline, const port::Compare& compare, port::Revision at) {
  const auto& changes = timeline[compare.key];
  const auto next = changes.upper_bound(at);
  return compare.modified == (next == changes.begin() ? 0 : std::prev(next)->second);
}

void expect_right(Timeline& timeline, const Attempt& attempt) {
  const bool committed = attempt.result.outcome == CommitOutcome::committed;
  const port::Revision state = attempt.result.revision - (committed ? 1 : 0);
  EXPECT_EQ(held(timeline, attempt.txn.compares[0], state), committed);
}

}  // namespace

TEST_P(StoreConformance, SixtyFourThreadsSeeOneOrder) {
  const port::Revision before = present();
  WatchLog log(store(), "", before + 1);
  std::atomic<port::Revision> answered{before};
  std::vector<Client> clients;
  clients.reserve(kThreads);
  for (std::uint64_t number = 0; number < kThreads; ++number) clients.emplace_back(store(), answered, number);
  std::vector<std::thread> threads;
  threads.reserve(clients.size());
  for (Client& client : clients) threads.emplace_back([&client] { client.run(); });
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(log.wait_for_revision(answered.load()));

  const std::vector<port::ChangeBatch> history = log.batches();
  Timeline timeline = timeline_of(history);
  std::set<port::Revision> committed;
  for (Client& client : clients) {
    const Journal journal = client.take();
    for (const Attempt& attempt : journal.attempts) {
      expect_right(timeline, attempt);
      if (attempt.result.outcome != CommitOutcome::committed) continue;
      EXPECT_TRUE(committed.insert(attempt.result.revision).second) << "two commits at one revision";
    }
    for (const port::Range& seen : journal.ranges) {
      auto state = fold(history, seen.revision);
      std::erase_if(state, [](const auto& item) { return !item.first.starts_with("/k/"); });
      ASSERT_EQ(state.size(), seen.entries.size());
      for (const port::Entry& entry : seen.entries) EXPECT_TRUE(same(state[entry.key], entry));
    }
  }
  EXPECT_EQ(committed.size(), history.size());
  EXPECT_EQ(committed.size(), answered.load() - before);
  EXPECT_GT(committed.size(), static_cast<std::size_t>(kRounds));
}

TEST_P(StoreConformance, WatchesStartedAmongWritersNeitherMissNorRepeat) {
  const port::Revision before = present();
  std::vector<std::thread> writers;
  writers.reserve(8);
  for (int writer = 0; writer < 8; ++writer) {
    writers.emplace_back([this, writer] {
      for (int round = 0; round < 60; ++round) {
        must_commit({{}, {put("/w/" + std::to_string(writer), std::to_string(round))}});
      }
    });
  }
  std::vector<std::thread> watchers;
  watchers.reserve(8);
  for (int watcher = 0; watcher < 8; ++watcher) {
    watchers.emplace_back([this, before] {
      // Ends and begins again after what it saw last, until it has seen all.
      port::Revision seen = before;
      while (seen < before + 480) {
        WatchLog log(store(), "/w/", seen + 1);
        ASSERT_TRUE(log.wait_for_revision(std::min(seen + 23, before + 480)));
        log.stop();
        for (const port::ChangeBatch& batch : log.batches()) ASSERT_EQ(batch.revision, ++seen);
      }
      EXPECT_EQ(seen, before + 480);
    });
  }
  for (std::thread& thread : writers) thread.join();
  for (std::thread& thread : watchers) thread.join();
}

TEST_P(StoreConformance, ARangeAndAWatchBehindItFollowEachOtherWithoutAGap) {
  std::atomic<bool> stop{false};
  std::thread writer([this, &stop] {
    for (int round = 0; !stop; ++round) must_commit({{}, {put(key_of(static_cast<std::uint64_t>(round % 7)), "")}});
  });
  for (int round = 0; round < 30; ++round) {
    const port::Range start = must_range({"/k/"});
    WatchLog log(store(), "/k/", start.revision + 1);
    ASSERT_TRUE(log.wait_for_revision(start.revision + 1));
    EXPECT_EQ(log.batches().at(0).revision, start.revision + 1);
  }
  stop = true;
  writer.join();
}

TEST_P(StoreConformance, EveryCallIsAnsweredBeforeTheStoreIsGone) {
  auto answers = std::make_shared<std::atomic<int>>(0);
  for (int call = 0; call < 200; ++call) {
    store().commit({{}, {put("/a", std::to_string(call))}}, [answers](const port::CommitResult&) { ++*answers; });
    store().range({"/"}, [answers](const auto&) { ++*answers; });
    store().grant_lease(1000, [answers](const auto&) { ++*answers; });
  }
  close();
  EXPECT_EQ(answers->load(), 600);
}

}  // namespace gantry::store
