#include "store/sqlite_store.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <fstream>

#include "store/conformance.h"

namespace gantry::store {
namespace {

// A clock that stands still but for advance().
class StillClock {
 public:
  [[nodiscard]] std::function<Now()> reader() const {
    return [now_ms = now_ms_] { return Now{now_ms->load(), 0}; };
  }
  void advance(Milliseconds by_ms) { *now_ms_ += by_ms; }

 private:
  std::shared_ptr<std::atomic<Milliseconds>> now_ms_ = std::make_shared<std::atomic<Milliseconds>>(1'000'000);
};

std::unique_ptr<port::Store> must_open(SqliteStoreOptions options) {
  auto store = open_sqlite_store(std::move(options));
  if (!store) {
    ADD_FAILURE() << store.error().to_text();
    std::abort();
  }
  return std::move(*store);
}

class SqliteUnderTest final : public StoreUnderTest {
 public:
  port::Store& store() override { return *store_; }
  void let_pass(Milliseconds time_ms) override {
    clock_.advance(time_ms);
    // Wakes the store's thread, which sleeps by real time.
    EXPECT_TRUE(range(*store_, {"/nothing"}).has_value());
  }

 private:
  TemporaryDirectory directory_;
  StillClock clock_;
  std::unique_ptr<port::Store> store_ = must_open({directory_.file("store.db"), clock_.reader()});
};

INSTANTIATE_TEST_SUITE_P(Sqlite, StoreConformance,
                         ::testing::Values(StoreKind{"sqlite", [] { return std::make_unique<SqliteUnderTest>(); }}),
                         store_kind_name);

class SqliteStoreTest : public ::testing::Test {
 protected:
  [[nodiscard]] SqliteStoreOptions options() const { return {path_, clock_.reader()}; }
  // What opening it says is wrong.
  [[nodiscard]] Error open_error() const {
    auto store = open_sqlite_store(options());
    if (!store) return store.error();
    ADD_FAILURE() << "it opened";
    return {};
  }
  void run_sql(const std::string& sql) const {
    sqlite3* handle = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &handle), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(handle, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(handle);
    sqlite3_close(handle);
  }
  void write_file(const std::string& content) const { std::ofstream(path_, std::ios::binary) << content; }

  TemporaryDirectory directory_;
  std::string path_ = directory_.file("store.db");
  StillClock clock_;
};

TEST_F(SqliteStoreTest, KeepsEverythingWhenReopened) {
  {
    const auto store = must_open(options());
    for (int i = 0; i < 50; ++i) commit(*store, {{}, {put("/" + std::to_string(i % 9), std::to_string(i))}});
    commit(*store, {{}, {erase("/3")}});
  }
  const auto store = must_open(options());
  EXPECT_EQ(range(*store, {"/"})->revision, 51U);
  EXPECT_EQ(range(*store, {"/"})->entries.size(), 8U);
  expect_consistent(*store);
  EXPECT_EQ(commit(*store, {{{"/3", 0}}, {put("/3", "")}}).revision, 52U);
}

TEST_F(SqliteStoreTest, ALeasesTimeBeginsAnewWhenReopened) {
  port::LeaseId lease = 0;
  {
    const auto store = must_open(options());
    lease = grant(*store, 5000).value();
    commit(*store, {{}, {put("/a", "", lease)}});
    clock_.advance(4000);
  }
  const auto store = must_open(options());
  clock_.advance(4000);
  EXPECT_EQ(range(*store, {"/"})->entries.size(), 1U);
  WatchLog log(*store, "/", 2);
  clock_.advance(1000);
  EXPECT_TRUE(range(*store, {"/"}).has_value());
  ASSERT_TRUE(log.wait_for_revision(2));
  EXPECT_TRUE(range(*store, {"/"})->entries.empty());
  EXPECT_GT(grant(*store, 5000).value(), lease);
}

TEST_F(SqliteStoreTest, ALeaseEndsWithoutAnyCall) {
  const auto store = must_open(options());
  WatchLog log(*store, "/", 0);
  const port::LeaseId lease = grant(*store, 300).value();
  commit(*store, {{}, {put("/a", "", lease)}});
  // The store now sleeps for 300 ms of real time, then finds the clock beyond the lease.
  clock_.advance(300);
  EXPECT_TRUE(log.wait_for_revision(2));
}

TEST_F(SqliteStoreTest, HistoryIsBoundedAndTheRestIsWhole) {
  SqliteStoreOptions bounded = options();
  bounded.history_revisions_max = 100;
  const auto store = must_open(bounded);
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 8; ++writer) {
    writers.emplace_back([&store, writer] {
      for (int i = 0; i < 100; ++i) commit(*store, {{}, {put("/" + std::to_string(writer), std::to_string(i))}});
    });
  }
  for (std::thread& writer : writers) writer.join();
  const port::Revision present = range(*store, {"/"})->revision;
  EXPECT_EQ(present, 800U);
  WatchLog forgotten(*store, "/", 1);
  ASSERT_TRUE(forgotten.wait_for_error());
  EXPECT_EQ(forgotten.errors(), std::vector{port::StoreError::compacted});
  WatchLog kept(*store, "/", present - 99);
  ASSERT_TRUE(kept.wait_for_revision(present));
  EXPECT_EQ(kept.batches().size(), 100U);
}

TEST_F(SqliteStoreTest, ItsFilesAreTheDaemonsAlone) {
  const auto store = must_open(options());
  commit(*store, {{}, {put("/a", "")}});
  for (const std::string& file : {path_, path_ + "-wal"}) {
    struct stat status {};
    ASSERT_EQ(::stat(file.c_str(), &status), 0) << file;
    EXPECT_EQ(status.st_mode & 0777U, 0600U) << file;
  }
}

TEST_F(SqliteStoreTest, OnlyOneMayHaveItOpen) {
  const auto store = must_open(options());
  const Error error = open_error();
  EXPECT_EQ(error.code, ErrorCode::conflict);
  EXPECT_EQ(error.reason, "store_in_use");
  EXPECT_EQ(commit(*store, {{}, {put("/a", "")}}).outcome, port::CommitOutcome::committed);
}

TEST_F(SqliteStoreTest, RefusesWhatIsNoDatabase) {
  write_file(std::string(10'000, 'x'));
  const Error error = open_error();
  EXPECT_EQ(error.code, ErrorCode::corrupt) << error.to_text();
  EXPECT_NE(error.next_step, "");
}

TEST_F(SqliteStoreTest, RefusesADamagedFile) {
  {
    const auto store = must_open(options());
    for (int i = 0; i < 300; ++i) {
      store->commit({{}, {put("/" + std::to_string(i), std::string(500, 'x'))}}, [](const port::CommitResult&) {});
    }
    EXPECT_TRUE(range(*store, {"/"}).has_value());
  }
  {
    std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(4096);
    file << std::string(8192, '\xA5');
  }
  const Error error = open_error();
  EXPECT_EQ(error.code, ErrorCode::corrupt) << error.to_text();
}

TEST_F(SqliteStoreTest, RefusesATruncatedFile) {
  {
    const auto store = must_open(options());
    commit(*store, {{}, {put("/a", std::string(100'000, 'x'))}});
  }
  std::filesystem::resize_file(path_, 5000);
  EXPECT_EQ(open_error().code, ErrorCode::corrupt);
}

// Else it would grow with every change, and be read whole at the next start.
TEST_F(SqliteStoreTest, ThePlaceOfTheLogIsUsedAgain) {
  SqliteStoreOptions small = options();
  small.checkpoint_pages = 50;
  small.history_revisions_max = 10;
  const auto store = must_open(small);
  const std::string value(20'000, 'x');
  for (int i = 0; i < 200; ++i) {
    const auto result = commit(*store, {{}, {put("/a" + std::to_string(i % 5), value)}});
    ASSERT_EQ(result.outcome, port::CommitOutcome::committed);
  }
  // 50 pages, and what one group of commits has.
  EXPECT_LT(std::filesystem::file_size(path_ + "-wal"), 100U * 4'096);
  EXPECT_GT(std::filesystem::file_size(path_), 100'000U);
}

TEST_F(SqliteStoreTest, RefusesTablesOfANewerGantry) {
  { const auto store = must_open(options()); }
  run_sql("PRAGMA user_version=2");
  const Error error = open_error();
  EXPECT_EQ(error.code, ErrorCode::unsupported);
  EXPECT_EQ(error.reason, "newer_schema");
  EXPECT_NE(error.cause.find("version 2"), std::string::npos) << error.to_text();
}

TEST_F(SqliteStoreTest, RefusesTheDatabaseOfAnotherProgramAndLeavesItAlone) {
  run_sql("CREATE TABLE songs(title TEXT)");
  EXPECT_EQ(open_error().reason, "foreign_database");
  run_sql("INSERT INTO songs VALUES('still there')");
}

TEST_F(SqliteStoreTest, SaysThatTheDirectoryIsMissing) {
  SqliteStoreOptions elsewhere = options();
  elsewhere.path = directory_.file("no/such/place/store.db");
  const auto store = open_sqlite_store(elsewhere);
  ASSERT_FALSE(store.has_value());
  EXPECT_EQ(store.error().code, ErrorCode::not_found);
  EXPECT_NE(store.error().to_text().find(elsewhere.path), std::string::npos);
}

TEST_F(SqliteStoreTest, SaysThatAPathIsADirectory) {
  SqliteStoreOptions elsewhere = options();
  elsewhere.path = directory_.file("");
  EXPECT_FALSE(open_sqlite_store(elsewhere).has_value());
}

}  // namespace
}  // namespace gantry::store
