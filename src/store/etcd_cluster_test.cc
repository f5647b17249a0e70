// A cluster of three whose nodes are killed and cut off under many writers: nothing acknowledged is lost, nothing that
// was said not to be written is there, and a watch tells each change once.
#include <algorithm>
#include <set>

#include "base/rng.h"
#include "store/etcd_store.h"
#include "store/etcd_test_store.h"

namespace gantry::store {
namespace {

using port::CommitOutcome;

constexpr int kNodes = 3;
constexpr int kWriters = 4;
constexpr int kRounds = 8;

// Each writer counts up in a key of its own, so that whatever was written says who did it and when.
class Writers {
 public:
  explicit Writers(port::Store& store) : store_(store) {
    for (int number = 0; number < kWriters; ++number) threads_.emplace_back([this, number] { run(number); });
  }
  ~Writers() { stop(); }
  Writers(const Writers&) = delete;
  Writers& operator=(const Writers&) = delete;

  void stop() {
    stopping_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  // Waits for so many more acknowledged writes.
  void expect_progress(int count) {
    std::unique_lock lock(mutex_);
    const std::size_t wanted = written_.size() + static_cast<std::size_t>(count);
    EXPECT_TRUE(changed_.wait_for(lock, kPatience, [&] { return written_.size() >= wanted; }));
  }
  // Waits for so many more answers that are not acknowledgements.
  void expect_trouble(int count) {
    std::unique_lock lock(mutex_);
    const int wanted = troubles_ + count;
    EXPECT_TRUE(changed_.wait_for(lock, kPatience, [&] { return troubles_ >= wanted; }));
  }
  static std::string key(int number) { return "/writer/" + std::to_string(number); }

  struct Written {
    std::string key;
    std::string value;
  };
  // By revision. After stop().
  [[nodiscard]] const std::map<port::Revision, Written>& written() const { return written_; }
  [[nodiscard]] int troubles() const { return troubles_; }
  [[nodiscard]] int unknowns() const { return unknowns_; }

 private:
  void run(int number) {
    port::Revision modified = 0;
    for (int count = 0; !stopping_ && !::testing::Test::HasFailure(); ++count) {
      modified = write({{{key(number), modified}}, {put(key(number), std::to_string(count))}});
    }
  }

  // Until it is certain that it was written.
  port::Revision write(const port::Txn& txn) {
    bool in_doubt = false;
    for (;;) {
      const port::CommitResult result = commit(store_, txn);
      if (result.outcome == CommitOutcome::committed) return acknowledged(txn, result.revision);
      if (result.outcome == CommitOutcome::conflict) {
        EXPECT_TRUE(in_doubt) << "what was said not to be written was";
        const port::Revision found = find(txn);
        if (found != 0) return acknowledged(txn, found);
        return 0;
      }
      in_doubt = in_doubt || result.outcome == CommitOutcome::unknown;
      const std::lock_guard lock(mutex_);
      ++troubles_;
      if (result.outcome == CommitOutcome::unknown) ++unknowns_;
      changed_.notify_all();
    }
  }

  // The revision of the writer's own last write, which an earlier answer was lost of.
  port::Revision find(const port::Txn& txn) {
    const auto until = test_now().monotonic_ms + std::chrono::milliseconds(kPatience).count();
    while (test_now().monotonic_ms < until) {
      const auto found = range(store_, {txn.writes[0].key, txn.writes[0].key + '\0'});
      if (!found) continue;
      EXPECT_EQ(found->entries.size(), 1U);
      if (found->entries.empty()) return 0;
      EXPECT_EQ(found->entries[0].value, txn.writes[0].value);
      return found->entries[0].modified;
    }
    ADD_FAILURE() << "etcd could not be read";
    return 0;
  }

  port::Revision acknowledged(const port::Txn& txn, port::Revision revision) {
    const std::lock_guard lock(mutex_);
    EXPECT_TRUE(written_.try_emplace(revision, Written{txn.writes[0].key, txn.writes[0].value}).second);
    changed_.notify_all();
    return revision;
  }

  port::Store& store_;
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<port::Revision, Written> written_;
  int troubles_ = 0;
  int unknowns_ = 0;
  std::vector<std::thread> threads_;
};

EtcdStoreOptions impatient_options(std::vector<std::string> endpoints) {
  EtcdStoreOptions options = etcd_options(std::move(endpoints));
  options.request_timeout_ms = 3'000;
  return options;
}

void expect_told(const std::vector<port::ChangeBatch>& batches, const Writers& writers) {
  ASSERT_EQ(batches.size(), writers.written().size());
  std::map<std::string, int> next;
  auto expected = writers.written().begin();
  for (const port::ChangeBatch& batch : batches) {
    ASSERT_EQ(batch.revision, expected->first);
    ASSERT_EQ(batch.changes.size(), 1U);
    const port::Entry& entry = batch.changes[0].entry;
    EXPECT_EQ(entry.modified, batch.revision);
    EXPECT_EQ(entry.key, expected->second.key);
    EXPECT_EQ(entry.value, expected->second.value);
    EXPECT_EQ(entry.value, std::to_string(next[entry.key]++));
    ++expected;
  }
}

class EtcdClusterTest : public ::testing::Test {
 protected:
  EtcdCluster cluster_{{.nodes = kNodes}};
  std::unique_ptr<port::Store> writing_ = must_open(impatient_options(cluster_.endpoints()));
  std::unique_ptr<port::Store> watching_ = must_open(impatient_options(cluster_.endpoints(1)));
  port::Revision before_ = range(*watching_, {"/"})->revision;
  WatchLog log_{*watching_, "/writer/", before_ + 1};

  void expect_all(Writers& writers) {
    writers.stop();
    ASSERT_FALSE(HasFailure());
    ASSERT_FALSE(writers.written().empty());
    const port::Revision last = writers.written().rbegin()->first;
    ASSERT_TRUE(log_.wait_for_revision(last));
    expect_told(log_.batches(), writers);
    EXPECT_TRUE(log_.errors().empty());
    const auto now = range(*watching_, {"/writer/"});
    ASSERT_TRUE(now.has_value());
    const auto told = fold(log_.batches());
    ASSERT_EQ(told.size(), now->entries.size());
    for (const port::Entry& entry : now->entries) EXPECT_TRUE(same(entry, told.at(entry.key))) << entry.key;
  }
};

TEST_F(EtcdClusterTest, NothingAcknowledgedIsLostWhileNodesAreKilled) {
  Rng rng(20'261'122);
  Writers writers(*writing_);
  writers.expect_progress(20);
  for (int round = 0; round < kRounds; ++round) {
    const int node = static_cast<int>(rng.below(kNodes));
    cluster_.kill(node);
    writers.expect_progress(30);
    cluster_.restart(node);
    writers.expect_progress(30);
  }
  expect_all(writers);
}

TEST_F(EtcdClusterTest, NothingAcknowledgedIsLostWhileNodesAreCutOff) {
  Rng rng(20'261'123);
  Writers writers(*writing_);
  writers.expect_progress(20);
  for (int round = 0; round < kRounds; ++round) {
    const int node = static_cast<int>(rng.below(kNodes));
    cluster_.cut_off(node);
    writers.expect_progress(30);
    cluster_.join_again(node);
    writers.expect_progress(30);
  }
  expect_all(writers);
  // Among eight nodes cut off was the one in use, with commits under way.
  EXPECT_GT(writers.unknowns(), 0);
}

TEST_F(EtcdClusterTest, WithoutMostNodesNothingIsWrittenAndThenItGoesOn) {
  Writers writers(*writing_);
  writers.expect_progress(20);
  cluster_.kill(0);
  cluster_.cut_off(1);
  writers.expect_trouble(2 * kWriters);
  EXPECT_FALSE(range(*watching_, {"/"}).has_value());
  WatchLog late(*watching_, "/writer/", 0);
  cluster_.join_again(1);
  writers.expect_progress(30);
  cluster_.restart(0);
  writers.expect_progress(30);
  // Where it begins is known when its own store reaches a node again: perhaps seconds later than the writers' does.
  ASSERT_TRUE(late.wait_until([](const auto& batches, const auto&) { return !batches.empty(); }));
  expect_all(writers);
  // It began somewhere in between, and has missed nothing since.
  const port::Revision last = writers.written().rbegin()->first;
  ASSERT_TRUE(late.wait_for_revision(last));
  auto batch = writers.written().find(late.batches().front().revision);
  for (const port::ChangeBatch& each : late.batches()) {
    ASSERT_NE(batch, writers.written().end());
    EXPECT_EQ(each.revision, batch++->first);
  }
  EXPECT_EQ(batch, writers.written().end());
}

TEST_F(EtcdClusterTest, AllNodesMayGoAndComeBack) {
  Writers writers(*writing_);
  writers.expect_progress(20);
  for (int node = 0; node < kNodes; ++node) cluster_.kill(node);
  writers.expect_trouble(kWriters);
  for (int node = 0; node < kNodes; ++node) cluster_.restart(node);
  writers.expect_progress(30);
  expect_all(writers);
}

TEST_F(EtcdClusterTest, AWatchFromTheFutureOfAnOutageMissesNothing) {
  cluster_.cut_off(0);
  cluster_.cut_off(1);
  // Begun while nobody can say where the present is; what is written after it waits for that.
  WatchLog log(*writing_, "/after/", 0);
  const auto answer = std::make_shared<std::promise<port::CommitResult>>();
  writing_->commit({{}, {put("/after/1", "")}}, [answer](const auto& result) { answer->set_value(result); });
  const port::CommitResult refused = answer->get_future().get();
  // Unknown when a node that had not noticed yet took it.
  EXPECT_TRUE(refused.outcome == CommitOutcome::unavailable || refused.outcome == CommitOutcome::unknown)
      << refused.detail;
  cluster_.join_again(0);
  cluster_.join_again(1);
  port::CommitResult result = refused;
  while (result.outcome != CommitOutcome::committed) {
    ASSERT_NE(result.outcome, CommitOutcome::conflict);
    result = commit(*writing_, {{}, {put("/after/2", "")}});
  }
  ASSERT_TRUE(log.wait_for_revision(result.revision));
  // Not always the last: the one before, if its outcome is unknown, may come after it.
  const auto told = log.batches();
  const auto of_it =
      std::find_if(told.begin(), told.end(), [&](const auto& batch) { return batch.revision == result.revision; });
  ASSERT_NE(of_it, told.end());
  EXPECT_EQ(of_it->changes.at(0).entry.key, "/after/2");
}

}  // namespace
}  // namespace gantry::store
