#include "store/faulty_store.h"

#include "store/conformance.h"
#include "store/memory_store.h"

namespace gantry::store {
namespace {

using port::CommitOutcome;

class FaultyUnderTest final : public StoreUnderTest {
 public:
  port::Store& store() override { return store_; }
  void let_pass(Milliseconds time_ms) override { loop_.advance(time_ms); }

 private:
  TestLoop loop_;
  MemoryStore inner_{loop_};
  FaultyStore store_{inner_, loop_, 1};
};

INSTANTIATE_TEST_SUITE_P(FaultsOff, StoreConformance,
                         ::testing::Values(StoreKind{"faulty", [] { return std::make_unique<FaultyUnderTest>(); }}),
                         store_kind_name);

class FaultyStoreTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::size_t entries() { return range(inner_, {"/"})->entries.size(); }

  // Everything posted so far has run.
  void settle() {
    await<int>([this](auto done) { loop_.post([done] { done(0); }); });
  }

  TestLoop loop_;
  MemoryStore inner_{loop_};
};

TEST_F(FaultyStoreTest, AScriptSaysWhatEachCommitMeets) {
  FaultyStore store(inner_, loop_, 1);
  store.script({CommitFault::unavailable, CommitFault::unknown_done, CommitFault::unknown_not_done, CommitFault::none});
  EXPECT_EQ(commit(store, {{}, {put("/1", "")}}).outcome, CommitOutcome::unavailable);
  EXPECT_EQ(entries(), 0U);
  EXPECT_EQ(commit(store, {{}, {put("/2", "")}}).outcome, CommitOutcome::unknown);
  EXPECT_EQ(entries(), 1U);
  EXPECT_EQ(commit(store, {{}, {put("/3", "")}}).outcome, CommitOutcome::unknown);
  EXPECT_EQ(entries(), 1U);
  EXPECT_EQ(commit(store, {{}, {put("/4", "")}}).outcome, CommitOutcome::committed);
  EXPECT_EQ(commit(store, {{}, {put("/5", "")}}).outcome, CommitOutcome::committed);
  EXPECT_EQ(entries(), 3U);
}

TEST_F(FaultyStoreTest, AnUnknownCommitMayBeDoneLater) {
  FaultyStore store(inner_, loop_, 1);
  store.set_rates({.late = 0, .delay_ms_max = 1000});
  store.script({CommitFault::unknown_later});
  WatchLog log(store, "/", 0);
  EXPECT_EQ(commit(store, {{}, {put("/1", "")}}).outcome, CommitOutcome::unknown);
  settle();
  loop_.advance(1000);
  EXPECT_TRUE(log.wait_for_revision(1));
}

TEST_F(FaultyStoreTest, ALateCommitIsAnsweredInTheEnd) {
  FaultyStore store(inner_, loop_, 1);
  store.set_rates({.late = 0, .delay_ms_max = 1000});
  store.script({CommitFault::late});
  const auto result = await<port::CommitResult>([&](auto done) {
    store.commit({{}, {put("/1", "")}}, done);
    settle();
    loop_.advance(1000);
  });
  EXPECT_EQ(result.outcome, CommitOutcome::committed);
}

TEST_F(FaultyStoreTest, WhatWasNotPassedOnIsUnavailableWhenItCloses) {
  std::atomic<int> answers{0};
  {
    FaultyStore store(inner_, loop_, 1);
    store.set_rates({.late = 1000, .delay_ms_max = 1'000'000});
    // A seed may draw a delay of 0 once, hardly for all.
    for (int i = 0; i < 20; ++i) {
      store.commit({{}, {put("/" + std::to_string(i), "")}}, [&answers](const port::CommitResult& result) {
        if (result.outcome == CommitOutcome::unavailable) ++answers;
      });
    }
  }
  EXPECT_GE(answers.load(), 18);
  loop_.advance(1'000'000);
  EXPECT_EQ(entries(), static_cast<std::size_t>(20 - answers.load()));
}

TEST_F(FaultyStoreTest, BrokenWatchesSayUnavailableOnceAndBeginAgainWithoutAGap) {
  FaultyStore store(inner_, loop_, 1);
  WatchLog broken(store, "/", 0);
  ASSERT_EQ(commit(store, {{}, {put("/1", "")}}).outcome, CommitOutcome::committed);
  store.break_watches();
  ASSERT_TRUE(broken.wait_for_error());
  commit(store, {{}, {put("/2", "")}});
  WatchLog again(store, "/", broken.batches().back().revision + 1);
  ASSERT_TRUE(again.wait_for_revision(2));
  EXPECT_EQ(broken.batches().size(), 1U);
  EXPECT_EQ(broken.errors(), std::vector{port::StoreError::unavailable});
  EXPECT_EQ(again.batches().size(), 1U);
}

TEST_F(FaultyStoreTest, RatesBreakWatchesAndReads) {
  FaultyStore store(inner_, loop_, 1);
  store.set_rates({.other_unavailable = 1000, .watch_broken = 1000});
  WatchLog log(store, "/", 0);
  commit(store, {{}, {put("/1", "")}});
  EXPECT_TRUE(log.wait_for_error());
  EXPECT_TRUE(log.batches().empty());
  EXPECT_EQ(range(store, {"/"}).error(), port::StoreError::unavailable);
  EXPECT_EQ(grant(store, 1000).error(), port::StoreError::unavailable);
}

// What 300 commits met, as text; each answer is held against the inner store.
std::string swarm(std::uint64_t seed) {
  TestLoop loop;
  MemoryStore inner(loop);
  FaultyStore store(inner, loop, seed);
  store.set_rates({.commit_unavailable = 100, .commit_unknown_done = 100, .commit_unknown_not_done = 100});
  std::string outcomes;
  for (int i = 0; i < 300; ++i) {
    const std::string key = "/" + std::to_string(i);
    const CommitOutcome outcome = commit(store, {{}, {put(key, "")}}).outcome;
    const bool there = !range(inner, {key, key + "!"})->entries.empty();
    EXPECT_TRUE(outcome != CommitOutcome::committed || there);
    EXPECT_TRUE(outcome != CommitOutcome::unavailable || !there);
    outcomes += std::to_string(static_cast<int>(outcome)) + (there ? "+" : "-");
  }
  return outcomes;
}

TEST(FaultyStoreSeed, TheSameSeedMeetsTheSameFaults) {
  const std::string first = swarm(7);
  EXPECT_EQ(first, swarm(7));
  EXPECT_NE(first, swarm(8));
  const auto unknown = std::to_string(static_cast<int>(CommitOutcome::unknown));
  EXPECT_NE(first.find(unknown + "+"), std::string::npos);
  EXPECT_NE(first.find(unknown + "-"), std::string::npos);
}

}  // namespace
}  // namespace gantry::store
