// What the SQLite store says and what is there agree, whatever write or sync of the disk fails, and after a power cut
// at any of them: nothing acknowledged is lost, nothing unavailable is there, nothing is there by halves.
#include <set>

#include "store/power_loss_vfs.h"
#include "store/sqlite_store.h"
#include "store/test_support.h"

namespace gantry::store {
namespace {

using port::CommitOutcome;
using Fault = PowerLossDisk::Fault;

constexpr int kTxns = 24;

SqliteStoreOptions options_on(const PowerLossDisk& disk) {
  SqliteStoreOptions options;
  options.path = "store.db";
  options.clock = [] { return Now{}; };
  options.checkpoint_pages = 20;
  options.vfs = disk.vfs_name();
  return options;
}

std::string half(int number, char which) { return "/" + std::to_string(number) + "/" + which; }

// Transaction `number` of the workload: two halves that must come together, a counter, now and then a large value.
port::Txn txn_of(int number) {
  const std::string value = number % 5 == 0 ? std::string(9000, 'v') : "v";
  port::Txn txn{
      {{half(number, 'a'), 0}},
      {put(half(number, 'a'), value), put("/counter", std::to_string(number)), put(half(number, 'b'), value)}};
  if (number % 3 == 2) txn.writes.push_back(erase("/erased"));
  if (number % 3 == 1) txn.writes.push_back(put("/erased", "not yet"));
  return txn;
}

// The outcomes of all transactions, sent three at a time so that groups of several form.
std::vector<port::CommitResult> work(port::Store& store) {
  std::vector<port::CommitResult> results;
  for (int number = 0; number < kTxns; number += 3) {
    std::vector<std::future<port::CommitResult>> answers;
    for (int i = number; i < number + 3; ++i) {
      auto promise = std::make_shared<std::promise<port::CommitResult>>();
      answers.push_back(promise->get_future());
      store.commit(txn_of(i), [promise](const port::CommitResult& result) { promise->set_value(result); });
    }
    for (auto& answer : answers) results.push_back(answer.get());
  }
  return results;
}

void expect_agreement(port::Store& store, const std::vector<port::CommitResult>& results, const std::string& where) {
  SCOPED_TRACE(where);
  const auto now = range(store, {"/"});
  ASSERT_TRUE(now.has_value());
  std::map<std::string, port::Entry> entries;
  for (const port::Entry& entry : now->entries) entries[entry.key] = entry;
  for (int number = 0; number < static_cast<int>(results.size()); ++number) {
    const port::CommitResult& result = results[static_cast<std::size_t>(number)];
    const bool a = entries.contains(half(number, 'a'));
    EXPECT_EQ(a, entries.contains(half(number, 'b'))) << "half of transaction " << number;
    if (result.outcome == CommitOutcome::committed) {
      EXPECT_TRUE(a) << "transaction " << number << " was acknowledged and is lost";
      EXPECT_EQ(entries[half(number, 'a')].modified, result.revision) << number;
    }
    EXPECT_FALSE(result.outcome == CommitOutcome::unavailable && a) << number << " is there though unavailable";
    EXPECT_NE(result.outcome, CommitOutcome::conflict) << number;
  }
  expect_consistent(store);
}

std::unique_ptr<port::Store> reopen(const PowerLossDisk& disk, const std::string& where) {
  auto store = open_sqlite_store(options_on(disk));
  EXPECT_TRUE(store.has_value()) << where << ": " << (store ? "" : store.error().to_text());
  return store ? std::move(*store) : nullptr;
}

// Which outcomes there were, and for each whether the writes were found there after reopening.
using Sightings = std::set<std::pair<CommitOutcome, bool>>;

void see(port::Store& store, const std::vector<port::CommitResult>& results, Sightings& seen) {
  for (int number = 0; number < static_cast<int>(results.size()); ++number) {
    const std::string key = half(number, 'a');
    const auto there = range(store, {key});
    seen.emplace(results[static_cast<std::size_t>(number)].outcome, there && !there->entries.empty());
  }
}

// Opening, working and closing, with the planned fault; then what is found is held against what was said.
void run_with(Fault fault, std::uint64_t operation, Sightings& seen) {
  const std::string where = "fault " + std::to_string(static_cast<int>(fault)) + " at " + std::to_string(operation);
  PowerLossDisk disk("crash-test");
  disk.plan(fault, operation);
  std::vector<port::CommitResult> results;
  if (auto store = open_sqlite_store(options_on(disk)); store) {
    results = work(**store);
    // The store that met the fault and goes on must agree with itself.
    if (fault != Fault::power_cut) expect_agreement(**store, results, where + ", still open");
  }
  disk.restore_power(operation);
  const auto store = reopen(disk, where);
  ASSERT_TRUE(store);
  expect_agreement(*store, results, where + ", reopened");
  see(*store, results, seen);
  EXPECT_EQ(commit(*store, {{}, {put("/after", "")}}).outcome, CommitOutcome::committed) << where;
}

std::uint64_t operations_of_a_whole_run() {
  PowerLossDisk disk("crash-test-count");
  disk.plan(Fault::none, 0);
  auto store = reopen(disk, "first");
  for (const port::CommitResult& result : work(*store)) EXPECT_EQ(result.outcome, CommitOutcome::committed);
  store.reset();
  return disk.operations();
}

Sightings run_with_every(Fault fault) {
  const std::uint64_t operations = operations_of_a_whole_run();
  EXPECT_GT(operations, 50U);
  Sightings seen;
  for (std::uint64_t operation = 1; operation <= operations + 5; ++operation) {
    run_with(fault, operation, seen);
    if (::testing::Test::HasFailure()) break;
  }
  EXPECT_TRUE(seen.contains({CommitOutcome::committed, true}));
  EXPECT_TRUE(seen.contains({CommitOutcome::unknown, false}));
  return seen;
}

TEST(SqliteCrash, ThePowerIsCutAtEveryWrite) {
  const Sightings seen = run_with_every(Fault::power_cut);
  EXPECT_TRUE(seen.contains({CommitOutcome::unknown, true})) << "unknown is more than another word for unavailable";
}

TEST(SqliteCrash, EveryWriteFailsOnce) { run_with_every(Fault::fails_once); }

TEST(SqliteCrash, EveryWriteIsDoneYetFailsOnce) { run_with_every(Fault::done_but_fails); }

TEST(SqliteCrash, AFullDiskMakesCommitsUnavailableUntilThereIsRoom) {
  PowerLossDisk disk("full-disk");
  auto store = reopen(disk, "empty");
  ASSERT_TRUE(store);
  ASSERT_EQ(commit(*store, {{}, {put("/before", "")}}).outcome, CommitOutcome::committed);
  disk.limit_file_bytes(60'000);
  std::vector<port::CommitResult> results = work(*store);
  EXPECT_EQ(std::count_if(results.begin(), results.end(),
                          [](const auto& result) { return result.outcome == CommitOutcome::unknown; }),
            0);
  ASSERT_EQ(results.back().outcome, CommitOutcome::unavailable);
  EXPECT_NE(results.back().detail.find("full"), std::string::npos) << results.back().detail;
  expect_agreement(*store, results, "full");

  disk.limit_file_bytes(0);
  EXPECT_EQ(commit(*store, {{}, {put("/after", "")}}).outcome, CommitOutcome::committed);
  store.reset();
  const auto again = reopen(disk, "with room");
  expect_agreement(*again, results, "with room");
}

TEST(SqliteCrash, ReadsGoOnWhenNothingCanBeWritten) {
  PowerLossDisk disk("read-on");
  const auto store = reopen(disk, "empty");
  ASSERT_EQ(commit(*store, {{}, {put("/a", "")}}).outcome, CommitOutcome::committed);
  disk.limit_file_bytes(1);
  auto outcome = std::make_shared<std::promise<CommitOutcome>>();
  // More than the page cache holds: it fails before its end.
  store->commit({{}, {put("/b", std::string(3'000'000, 'x'))}},
                [outcome](const port::CommitResult& result) { outcome->set_value(result.outcome); });
  const auto entries = range(*store, {"/"});
  ASSERT_TRUE(entries.has_value());
  EXPECT_EQ(entries->entries.size(), 1U);
  EXPECT_EQ(outcome->get_future().get(), CommitOutcome::unavailable);
  WatchLog log(*store, "/", 1);
  EXPECT_TRUE(log.wait_for_revision(1));
}

TEST(SqliteCrash, SaysThatItCannotBeMadeOnAFullDisk) {
  PowerLossDisk disk("full-from-the-start");
  disk.limit_file_bytes(3000);
  const auto store = open_sqlite_store(options_on(disk));
  ASSERT_FALSE(store.has_value());
  EXPECT_EQ(store.error().code, ErrorCode::out_of_space) << store.error().to_text();
}

}  // namespace
}  // namespace gantry::store
