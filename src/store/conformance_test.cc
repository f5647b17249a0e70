// The contract of port/store.h, call by call.
#include "store/conformance.h"

namespace gantry::store {

using port::CommitOutcome;
using port::StoreError;

TEST_P(StoreConformance, EachCommitThatChangesSomethingIsOneRevision) {
  const port::Revision before = present();
  EXPECT_EQ(must_commit({{}, {put("/a", "1"), put("/b", "2")}}), before + 1);
  EXPECT_EQ(must_commit({{}, {put("/a", "1")}}), before + 2);
  EXPECT_EQ(must_commit({}), before + 2) << "nothing written";
  EXPECT_EQ(must_commit({{}, {erase("/none")}}), before + 2) << "nothing erased";
  EXPECT_EQ(must_commit({{}, {erase("/a"), erase("/none")}}), before + 3);
  EXPECT_EQ(present(), before + 3);
}

TEST_P(StoreConformance, EntriesTellWhenTheyWereCreatedAndModified) {
  const port::Revision first = must_commit({{}, {put("/a", "1")}});
  const port::Revision second = must_commit({{}, {put("/a", "2")}});
  port::Range range = must_range({"/a"});
  ASSERT_EQ(range.entries.size(), 1U);
  EXPECT_TRUE(same(range.entries[0], {"/a", "2", first, second, 0}));
  EXPECT_EQ(range.revision, second);

  must_commit({{}, {erase("/a")}});
  EXPECT_TRUE(must_range({"/a"}).entries.empty());
  const port::Revision again = must_commit({{}, {put("/a", "3")}});
  EXPECT_EQ(must_range({"/a"}).entries.at(0).created, again);
}

TEST_P(StoreConformance, ValuesAndKeysAreAnyBytes) {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes.push_back(static_cast<char>(byte));
  std::string large(300'000, 'x');
  const std::string key = std::string("/k\0\xff", 4);
  must_commit({{}, {put(key, bytes), put("/empty", ""), put("/large", large)}});
  EXPECT_EQ(must_range({key}).entries.at(0).value, bytes);
  EXPECT_EQ(must_range({key}).entries.at(0).key, key);
  EXPECT_EQ(must_range({"/empty"}).entries.at(0).value, "");
  EXPECT_EQ(must_range({"/large"}).entries.at(0).value, large);
}

TEST_P(StoreConformance, ACompareThatDoesNotHoldWritesNothing) {
  const port::Revision first = must_commit({{}, {put("/a", "1")}});
  const port::Revision second = must_commit({{}, {put("/b", "1")}});
  const auto expect_conflict = [&](const port::Compare& compare) {
    const port::CommitResult result = commit(store(), {{{"/b", second}, compare}, {put("/c", "x"), erase("/a")}});
    EXPECT_EQ(result.outcome, CommitOutcome::conflict);
    EXPECT_EQ(result.revision, second);
  };
  expect_conflict({"/a", 0});
  expect_conflict({"/a", second});
  expect_conflict({"/none", first});
  EXPECT_EQ(must_range({"/"}).entries.size(), 2U);

  must_commit({{{"/a", first}, {"/none", 0}}, {put("/a", "2")}});
  EXPECT_EQ(must_range({"/a"}).entries.at(0).value, "2");
  EXPECT_EQ(commit(store(), {{{"/a", first}}, {put("/a", "3")}}).outcome, CommitOutcome::conflict);
  must_commit({{}, {erase("/a")}});
  must_commit({{{"/a", 0}}, {put("/a", "4")}});
}

TEST_P(StoreConformance, AReadOnlyTransactionChecksItsCompares) {
  const port::Revision revision = must_commit({{}, {put("/a", "1")}});
  EXPECT_EQ(must_commit({{{"/a", revision}}, {}}), revision);
  EXPECT_EQ(commit(store(), {{{"/a", 0}}, {}}).outcome, CommitOutcome::conflict);
}

TEST_P(StoreConformance, ATransactionThatMakesNoSenseIsRefusedWhole) {
  const port::Revision before = present();
  for (const port::Txn& txn :
       {port::Txn{{}, {put("/a", "1"), put("/b", "1"), put("/a", "2")}}, port::Txn{{}, {put("/a", "1"), erase("/a")}},
        port::Txn{{}, {put("", "1")}}, port::Txn{{{"", 0}}, {put("/a", "1")}}}) {
    const port::CommitResult result = commit(store(), txn);
    EXPECT_EQ(result.outcome, CommitOutcome::unavailable);
    EXPECT_TRUE(result.detail.starts_with("invalid")) << result.detail;
  }
  const port::CommitResult result = commit(store(), {{}, {put("/a", "1"), put("/b", "1", 4711)}});
  EXPECT_EQ(result.outcome, CommitOutcome::unavailable);
  EXPECT_TRUE(result.detail.starts_with("no such lease")) << result.detail;
  EXPECT_TRUE(must_range({"/"}).entries.empty());
  EXPECT_EQ(present(), before);
}

TEST_P(StoreConformance, RangesAreInOrderAndWithinTheirEnds) {
  must_commit(
      {{}, {put("/b/2", ""), put("/a/1", ""), put("/b/1", ""), put("/b", ""), put("/b/10", ""), put("/c", "")}});
  const auto keys = [&](port::RangeRequest request) {
    std::string all;
    for (const port::Entry& entry : must_range(std::move(request)).entries) all += entry.key + " ";
    return all;
  };
  EXPECT_EQ(keys({"/b/"}), "/b/1 /b/10 /b/2 ");
  EXPECT_EQ(keys({"/b/1", "/b/2"}), "/b/1 /b/10 ");
  EXPECT_EQ(keys({"/a/1", "/b/"}), "/a/1 /b ");
  EXPECT_EQ(keys({"/b/2", "/b/1"}), "");
  EXPECT_EQ(keys({"/d"}), "");
  EXPECT_EQ(keys({""}), "/a/1 /b /b/1 /b/10 /b/2 /c ");
}

TEST_P(StoreConformance, PrefixesOfTheHighestByteHaveAnEnd) {
  must_commit({{}, {put("a\xff", "1"), put("a\xff\xff", "2"), put("b", "3"), put("\xff", "4"), put("\xff\xff", "5")}});
  EXPECT_EQ(must_range({"a\xff"}).entries.size(), 2U);
  EXPECT_EQ(must_range({"\xff"}).entries.size(), 2U);
}

TEST_P(StoreConformance, ALimitedRangeSaysWhetherThereIsMore) {
  must_commit({{}, {put("/1", ""), put("/2", ""), put("/3", "")}});
  const port::Range two = must_range({"/", "", 2});
  EXPECT_EQ(two.entries.size(), 2U);
  EXPECT_TRUE(two.more);
  const port::Range three = must_range({"/", "", 3});
  EXPECT_EQ(three.entries.size(), 3U);
  EXPECT_FALSE(three.more);
  EXPECT_FALSE(must_range({"/", "", 0}).more);
  EXPECT_FALSE(must_range({"/3", "", 1}).more);
}

TEST_P(StoreConformance, AWatchTellsEveryChangeOnceInOnePiece) {
  const port::Revision before = present();
  WatchLog log(store(), "/a/", 0);
  const port::Revision created = must_commit({{}, {put("/a/1", "x"), put("/b", "y"), put("/a/2", "z")}});
  must_commit({{}, {put("/b", "not watched")}});
  const port::Revision changed = must_commit({{}, {put("/a/1", "w")}});
  const port::Revision erased = must_commit({{}, {erase("/a/1"), erase("/a/none")}});
  ASSERT_TRUE(log.wait_for_revision(erased));

  const auto batches = log.batches();
  ASSERT_EQ(batches.size(), 3U);
  EXPECT_EQ(batches[0].revision, before + 1);
  ASSERT_EQ(batches[0].changes.size(), 2U);
  EXPECT_TRUE(same(batches[0].changes[0].entry, {"/a/1", "x", created, created, 0}));
  EXPECT_TRUE(same(batches[0].changes[1].entry, {"/a/2", "z", created, created, 0}));
  ASSERT_EQ(batches[1].changes.size(), 1U);
  EXPECT_TRUE(same(batches[1].changes[0].entry, {"/a/1", "w", created, changed, 0}));
  ASSERT_EQ(batches[2].changes.size(), 1U);
  EXPECT_EQ(batches[2].changes[0].kind, port::Write::Kind::erase);
  EXPECT_EQ(batches[2].changes[0].entry.key, "/a/1");
  EXPECT_EQ(batches[2].changes[0].entry.modified, erased);
}

TEST_P(StoreConformance, AWatchFromThePastRepeatsItThenGoesOn) {
  const port::Revision first = must_commit({{}, {put("/a", "1")}});
  const port::Revision second = must_commit({{}, {put("/a", "2")}});
  WatchLog all(store(), "/", first);
  WatchLog some(store(), "/", second);
  WatchLog next(store(), "/", second + 1);
  const port::Revision third = must_commit({{}, {erase("/a")}});
  for (WatchLog* log : {&all, &some, &next}) ASSERT_TRUE(log->wait_for_revision(third));
  EXPECT_EQ(all.batches().size(), 3U);
  EXPECT_EQ(all.batches()[0].changes[0].entry.value, "1");
  EXPECT_EQ(some.batches().size(), 2U);
  EXPECT_EQ(next.batches().size(), 1U);
}

TEST_P(StoreConformance, AWatchOfTheFutureIsInvalid) {
  WatchLog log(store(), "/", present() + 2);
  ASSERT_TRUE(log.wait_for_error());
  EXPECT_EQ(log.errors(), std::vector{StoreError::invalid});
}

TEST_P(StoreConformance, AnEndedWatchIsNotCalled) {
  WatchLog ended(store(), "/", 0);
  WatchLog other(store(), "/", 0);
  const port::Revision first = must_commit({{}, {put("/a", "1")}});
  ASSERT_TRUE(ended.wait_for_revision(first));
  ended.stop();
  ASSERT_TRUE(other.wait_for_revision(must_commit({{}, {put("/a", "2")}})));
  EXPECT_EQ(ended.batches().size(), 1U);
}

TEST_P(StoreConformance, AWatchMayEndWithinItsOwnCallback) {
  auto watch = std::make_shared<std::unique_ptr<port::Watch>>();
  auto calls = std::make_shared<std::atomic<int>>(0);
  auto handed_over = std::make_shared<std::promise<void>>();
  auto ended = std::make_shared<std::promise<void>>();
  *watch = store().watch("/", 0, [watch, calls, ended, there = handed_over->get_future().share()](const auto&) {
    there.wait();
    if (++*calls > 1) return;
    const auto told = ended;
    watch->reset();
    told->set_value();
  });
  handed_over->set_value();
  WatchLog other(store(), "/", 0);
  must_commit({{}, {put("/a", "1")}});
  // Watches are not told in the order of each other.
  ASSERT_EQ(ended->get_future().wait_for(kPatience), std::future_status::ready);
  ASSERT_TRUE(other.wait_for_revision(must_commit({{}, {put("/a", "2")}})));
  EXPECT_EQ(calls->load(), 1);
}

TEST_P(StoreConformance, CallbacksMayCallTheStore) {
  const auto result = await<port::CommitResult>([this](auto done) {
    store().commit({{}, {put("/a", "1")}}, [this, done](const port::CommitResult& first) {
      if (first.outcome != CommitOutcome::committed) return done(first);
      store().range({"/a"}, [this, done](const auto& range) {
        if (!range || range->entries.empty())
          return done({CommitOutcome::conflict, 0, "what was written is not there"});
        store().commit({{{"/a", range->entries[0].modified}}, {put("/a", "2")}}, done);
      });
    });
  });
  EXPECT_EQ(result.outcome, CommitOutcome::committed) << result.detail;
  EXPECT_EQ(must_range({"/a"}).entries.at(0).value, "2");
}

TEST_P(StoreConformance, CompactionForgetsHistoryButNoEntry) {
  const port::Revision first = must_commit({{}, {put("/a", "1")}});
  must_commit({{}, {put("/b", "1")}});
  const port::Revision third = must_commit({{}, {put("/a", "2")}});
  WatchLog running(store(), "/", first);
  ASSERT_TRUE(running.wait_for_revision(third));
  ASSERT_TRUE(compact(store(), third).has_value());

  WatchLog forgotten(store(), "/", third - 1);
  ASSERT_TRUE(forgotten.wait_for_error());
  EXPECT_EQ(forgotten.errors(), std::vector{StoreError::compacted});
  EXPECT_TRUE(forgotten.batches().empty());
  WatchLog kept(store(), "/", third);
  const port::Revision fourth = must_commit({{}, {put("/a", "3")}});
  ASSERT_TRUE(kept.wait_for_revision(fourth));
  EXPECT_EQ(kept.batches().size(), 2U);
  ASSERT_TRUE(running.wait_for_revision(fourth));
  EXPECT_EQ(running.batches().size(), 4U);
  EXPECT_TRUE(running.errors().empty());
  EXPECT_EQ(must_range({"/"}).entries.size(), 2U);
}

TEST_P(StoreConformance, CompactionOfThePastIsDoneAndOfTheFutureInvalid) {
  must_commit({{}, {put("/a", "1")}});
  const port::Revision second = must_commit({{}, {put("/a", "2")}});
  EXPECT_TRUE(compact(store(), second).has_value());
  EXPECT_TRUE(compact(store(), second).has_value());
  EXPECT_TRUE(compact(store(), second - 1).has_value());
  const auto future = compact(store(), second + 1);
  ASSERT_FALSE(future.has_value());
  EXPECT_EQ(future.error(), StoreError::invalid);
}

}  // namespace gantry::store
