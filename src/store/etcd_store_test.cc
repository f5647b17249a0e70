// What is etcd's alone, on one real node: limits, history, opening.
#include "store/etcd_store.h"

#include <limits>

#include "store/etcd_test_store.h"

namespace gantry::store {
namespace {

using port::CommitOutcome;
using port::StoreError;

class EtcdStoreTest : public ::testing::Test {
 protected:
  void SetUp() override { open(patient_options(cluster_.endpoints())); }
  void open(const EtcdStoreOptions& options) { store_ = must_open(options); }
  port::Revision must_commit(port::Txn txn) {
    const port::CommitResult result = commit(*store_, std::move(txn));
    EXPECT_EQ(result.outcome, CommitOutcome::committed) << result.detail;
    return result.revision;
  }

  EtcdCluster cluster_;
  std::unique_ptr<port::Store> store_;
};

TEST_F(EtcdStoreTest, HistoryFromTheCompactedRevisionOnIsWhole) {
  must_commit({{}, {put("/a", "1"), put("/b", "1")}});
  const port::Revision erased = must_commit({{}, {erase("/a")}});
  const port::Revision last = must_commit({{}, {put("/b", "2")}});
  ASSERT_TRUE(compact(*store_, erased).has_value());
  WatchLog log(*store_, "/", erased);
  ASSERT_TRUE(log.wait_for_revision(last));
  ASSERT_EQ(log.batches().size(), 2U);
  EXPECT_EQ(log.batches()[0].revision, erased);
  EXPECT_EQ(log.batches()[0].changes.at(0).kind, port::Write::Kind::erase);

  // A program that is not Gantry compacts to the revision itself, and etcd may have forgotten what was erased there.
  ASSERT_TRUE(compact(*store_, erased + 1).has_value());
  WatchLog forgotten(*store_, "/", erased);
  ASSERT_TRUE(forgotten.wait_for_error());
  EXPECT_EQ(forgotten.errors(), std::vector{StoreError::compacted});
}

TEST_F(EtcdStoreTest, LargeRangesComeInPiecesOfOneRevision) {
  EtcdStoreOptions options = patient_options(cluster_.endpoints());
  options.page_entries = 7;
  open(options);
  for (int i = 0; i < 100; i += 25) {
    port::Txn txn;
    for (int j = i; j < i + 25; ++j) txn.writes.push_back(put("/" + std::to_string(1000 + j), std::to_string(j)));
    must_commit(txn);
  }
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    // Each commit moves one key's value to the next: at any one revision they all differ.
    for (int i = 0; !stop; ++i) {
      must_commit({{}, {put("/" + std::to_string(1000 + i % 100), std::to_string(100 + i))}});
    }
  });
  for (int round = 0; round < 10; ++round) {
    const auto all = range(*store_, {"/"});
    ASSERT_TRUE(all.has_value());
    ASSERT_EQ(all->entries.size(), 100U);
    EXPECT_FALSE(all->more);
    std::map<std::string, int> values;
    for (const port::Entry& entry : all->entries) {
      EXPECT_LE(entry.modified, all->revision);
      EXPECT_EQ(++values[entry.value], 1);
    }
  }
  const auto some = range(*store_, {"/", "", 10});
  EXPECT_EQ(some->entries.size(), 10U);
  EXPECT_TRUE(some->more);
  stop = true;
  writer.join();
}

TEST_F(EtcdStoreTest, HistoryIsBounded) {
  EtcdStoreOptions options = patient_options(cluster_.endpoints());
  options.history_revisions_max = 100;
  open(options);
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 8; ++writer) {
    writers.emplace_back([this, writer] {
      for (int i = 0; i < 160; ++i) must_commit({{}, {put("/" + std::to_string(writer), std::to_string(i))}});
    });
  }
  for (std::thread& writer : writers) writer.join();
  const port::Revision present = range(*store_, {"/"})->revision;
  // The forgetting goes on behind the commits.
  for (;;) {
    WatchLog first(*store_, "/", 2);
    ASSERT_TRUE(
        first.wait_until([](const auto& batches, const auto& errors) { return !batches.empty() || !errors.empty(); }));
    if (first.errors() == std::vector{StoreError::compacted}) break;
  }
  WatchLog kept(*store_, "/", present - 99);
  ASSERT_TRUE(kept.wait_for_revision(present));
  EXPECT_EQ(kept.batches().size(), 100U);
}

TEST_F(EtcdStoreTest, ATransactionBeyondEtcdsLimitsIsSaidToBeSo) {
  port::Txn most;
  for (int i = 0; i < 128; ++i) {
    most.compares.push_back({"/" + std::to_string(i), 0});
    most.writes.push_back(put("/" + std::to_string(i), ""));
  }
  port::Txn more = most;
  more.writes.push_back(put("/more", ""));
  const port::CommitResult many = commit(*store_, more);
  EXPECT_EQ(many.outcome, CommitOutcome::unavailable);
  EXPECT_TRUE(many.detail.starts_with("invalid")) << many.detail;
  EXPECT_NE(many.detail.find("129 writes"), std::string::npos) << many.detail;
  for (const std::size_t size : {std::size_t{1'700'000}, std::size_t{30'000'000}}) {
    const port::CommitResult large = commit(*store_, {{}, {put("/large", std::string(size, 'x'))}});
    EXPECT_EQ(large.outcome, CommitOutcome::unavailable);
    EXPECT_TRUE(large.detail.starts_with("invalid")) << large.detail;
  }
  EXPECT_TRUE(range(*store_, {"/"})->entries.empty());
  must_commit(most);
}

TEST_F(EtcdStoreTest, LargeRevisionsComeInOnePiece) {
  WatchLog log(*store_, "/", 0);
  port::Revision last = 0;
  for (int round = 0; round < 4; ++round) {
    port::Txn txn;
    for (int i = 0; i < 14; ++i) txn.writes.push_back(put("/" + std::to_string(i), std::string(100'000, 'a' + round)));
    last = must_commit(txn);
  }
  // Catching up makes etcd send them together, far beyond one message of its own.
  WatchLog late(*store_, "/", last - 3);
  for (WatchLog* each : {&log, &late}) {
    ASSERT_TRUE(each->wait_for_revision(last));
    ASSERT_EQ(each->batches().size(), 4U);
    for (const port::ChangeBatch& batch : each->batches()) EXPECT_EQ(batch.changes.size(), 14U);
  }
}

TEST_F(EtcdStoreTest, LeasesOfAnyLengthEndOrAreRefused) {
  // Rounded up to whole seconds, and to etcd's shortest time.
  const port::LeaseId lease = grant(*store_, 1).value();
  const port::Revision written = must_commit({{}, {put("/a", "", lease)}});
  WatchLog log(*store_, "/", written + 1);
  EXPECT_TRUE(log.wait_for_revision(written + 1));
  EXPECT_EQ(grant(*store_, std::numeric_limits<Milliseconds>::max()).error(), StoreError::invalid);
  EXPECT_EQ(grant(*store_, -5).error(), StoreError::invalid);
  EXPECT_EQ(keep_alive(*store_, ~port::LeaseId{0}).error(), StoreError::no_such_lease);
  EXPECT_EQ(revoke(*store_, 0).error(), StoreError::no_such_lease);
  const port::CommitResult result = commit(*store_, {{}, {put("/b", "", ~port::LeaseId{0})}});
  EXPECT_TRUE(result.detail.starts_with("no such lease")) << result.detail;
}

TEST(EtcdFull, WhatIsSaidOfCommitsIsTrue) {
  EtcdCluster cluster({.nodes = 1, .arguments = {"--quota-backend-bytes=8388608"}});
  const auto store = must_open(patient_options(cluster.endpoints()));
  bool full = false;
  port::Revision modified = 0;
  for (int i = 0; i < 60 && !full; ++i) {
    const std::string value = std::to_string(i) + std::string(500'000, 'x');
    const port::CommitResult result = commit(*store, {{{"/a", modified}}, {put("/a", value)}});
    if (result.outcome == CommitOutcome::committed) {
      modified = result.revision;
      continue;
    }
    ASSERT_NE(result.outcome, CommitOutcome::conflict);
    EXPECT_NE(result.detail.find("full"), std::string::npos) << result.detail;
    const port::Revision now = range(*store, {"/a"})->entries.at(0).modified;
    if (result.outcome == CommitOutcome::unavailable) {
      EXPECT_EQ(now, modified);
      full = true;
    }
    modified = now;
  }
  EXPECT_TRUE(full);
}

TEST(EtcdOpen, SaysWhereNobodyAnswersAndWhy) {
  EtcdStoreOptions options = etcd_options({loopback_address(free_port()), "127.0.0.1:1"});
  options.open_timeout_ms = 1;
  options.request_timeout_ms = 500;
  const auto store = open_etcd_store(options);
  ASSERT_FALSE(store.has_value());
  EXPECT_EQ(store.error().code, ErrorCode::unavailable);
  EXPECT_EQ(store.error().reason, "store_unreachable");
  for (const std::string& address : options.endpoints) {
    EXPECT_NE(store.error().cause.find(address), std::string::npos) << store.error().to_text();
  }
  EXPECT_NE(store.error().cause.find("refused"), std::string::npos) << store.error().to_text();
  EXPECT_NE(store.error().next_step.find("etcdctl"), std::string::npos);
}

TEST(EtcdOpen, TakesTheNodeThatAnswers) {
  EtcdCluster cluster;
  const auto store = must_open(patient_options({"127.0.0.1:1", cluster.endpoints()[0]}));
  EXPECT_EQ(commit(*store, {{}, {put("/a", "")}}).outcome, CommitOutcome::committed);
}

TEST(EtcdOpen, EndsWhileItsNodeIsCutOff) {
  EtcdCluster cluster;
  auto store = must_open(patient_options(cluster.endpoints()));
  const port::Revision present = range(*store, {"/"})->revision;
  WatchLog log(*store, "/", present + 1);
  cluster.cut_off(0);
  auto outcomes = std::make_shared<std::vector<CommitOutcome>>();
  auto ranges = std::make_shared<int>(0);
  for (int i = 0; i < 20; ++i) {
    store->commit({{}, {put("/a", "")}}, [outcomes](const auto& result) { outcomes->push_back(result.outcome); });
    store->range({"/"}, [ranges](const auto& result) { *ranges += result ? 0 : 1; });
  }
  store.reset();
  ASSERT_EQ(outcomes->size(), 20U);
  for (const CommitOutcome outcome : *outcomes) {
    EXPECT_TRUE(outcome == CommitOutcome::unknown || outcome == CommitOutcome::unavailable);
  }
  EXPECT_EQ(*ranges, 20);
  cluster.join_again(0);
}

TEST(EtcdOpen, AWatchMayOutliveItsStore) {
  EtcdCluster cluster;
  auto store = must_open(patient_options(cluster.endpoints()));
  WatchLog log(*store, "/", 0);
  store.reset();
  log.stop();
}

TEST(EtcdAddress, IsUnderstood) {
  EXPECT_EQ(*parse_etcd_address("etcd://a:1"), std::vector<std::string>{"a:1"});
  EXPECT_EQ(*parse_etcd_address("etcd://10.0.0.1:2379,[fd00::1]:2379,etcd-3.example:65535"),
            (std::vector<std::string>{"10.0.0.1:2379", "[fd00::1]:2379", "etcd-3.example:65535"}));
  for (const char* bad : {"", "etcd://", "etcd://a", "etcd://a:", "etcd://:1", "etcd://a:0", "etcd://a:65536",
                          "etcd://a:1,", "etcd://,a:1", "etcd://a:1/b", "http://a:1", "etcd://a:1x", "etcd://unix:/x:1",
                          "etcd://[::1:1", "etcd://a b:1", "etcd://[]:1"}) {
    const auto parsed = parse_etcd_address(bad);
    ASSERT_FALSE(parsed.has_value()) << bad;
    EXPECT_EQ(parsed.error().code, ErrorCode::invalid_argument);
    EXPECT_NE(parsed.error().next_step, "");
  }
}

}  // namespace
}  // namespace gantry::store
