// A process that writes from 64 threads is killed again and again: every write it was told is committed is there.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "base/rng.h"
#include "base/unique_fd.h"
#include "store/sqlite_store.h"
#include "store/test_support.h"

extern char** environ;  // NOLINT(readability-redundant-declaration): POSIX asks for it

namespace gantry::store {
namespace {

constexpr int kWriters = 64;
constexpr int kKills = 20;
constexpr const char* kPathVariable = "GANTRY_STORE_KILL_TEST_PATH";
// Where the child finds the pipe for what was acknowledged.
constexpr int kAcknowledgementFd = 3;

struct Acknowledgement {
  std::uint64_t writer = 0;
  std::uint64_t number = 0;
  port::Revision revision = 0;
};

SqliteStoreOptions options_at(const std::string& path) {
  SqliteStoreOptions options;
  options.path = path;
  options.clock = [] { return Now{}; };
  options.history_revisions_max = 0;
  options.checkpoint_pages = 200;
  return options;
}

std::string log_key(std::uint64_t writer, std::uint64_t number) {
  return "/log/" + std::to_string(writer) + "/" + std::to_string(number);
}

// Writes on and on: a new key and the writer's last number, in one transaction, then tells the parent.
void write_until_killed(port::Store& store, std::uint64_t writer) {
  const std::string last_key = "/last/" + std::to_string(writer);
  const auto last = range(store, {last_key, last_key + "!"});
  std::uint64_t number = last->entries.empty() ? 0 : std::stoull(last->entries[0].value);
  while (true) {
    ++number;
    const port::CommitResult result = commit(
        store,
        {{{log_key(writer, number), 0}}, {put(log_key(writer, number), "x"), put(last_key, std::to_string(number))}});
    if (result.outcome != port::CommitOutcome::committed) std::abort();
    const Acknowledgement told{writer, number, result.revision};
    if (::write(kAcknowledgementFd, &told, sizeof told) != sizeof told) std::abort();
  }
}

// Not a test: what the child process of the test below runs.
TEST(SqliteKillChild, DISABLED_WritesUntilItIsKilled) {
  const char* path = std::getenv(kPathVariable);
  ASSERT_NE(path, nullptr);
  auto store = open_sqlite_store(options_at(path));
  ASSERT_TRUE(store.has_value()) << store.error().to_text();
  std::vector<std::thread> writers;
  for (std::uint64_t writer = 0; writer < kWriters; ++writer) {
    writers.emplace_back([&store, writer] { write_until_killed(**store, writer); });
  }
  for (std::thread& writer : writers) writer.join();
}

class KilledWriter {
 public:
  explicit KilledWriter(const std::string& path) {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    read_end_ = UniqueFd(ends[0]);
    const UniqueFd write_end(ends[1]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, write_end.get(), kAcknowledgementFd);
    std::string program = "/proc/self/exe";
    std::string filter = "--gtest_filter=SqliteKillChild.*";
    std::string disabled = "--gtest_also_run_disabled_tests";
    std::string brief = "--gtest_brief=1";
    char* const arguments[] = {program.data(), filter.data(), disabled.data(), brief.data(), nullptr};
    ::setenv(kPathVariable, path.c_str(), 1);
    EXPECT_EQ(::posix_spawn(&pid_, program.c_str(), &actions, nullptr, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
  }

  // Kills it after `count` acknowledgements and returns all that were made.
  std::vector<Acknowledgement> kill_after(std::size_t count) {
    std::vector<Acknowledgement> told;
    Acknowledgement one;
    while (told.size() < count && ::read(read_end_.get(), &one, sizeof one) == sizeof one) told.push_back(one);
    EXPECT_EQ(told.size(), count) << "the writer ended by itself";
    ::kill(pid_, SIGKILL);
    int status = 0;
    ::waitpid(pid_, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    while (::read(read_end_.get(), &one, sizeof one) == sizeof one) told.push_back(one);
    return told;
  }

 private:
  UniqueFd read_end_;
  pid_t pid_ = -1;
};

void expect_everything_told(const std::string& path, const std::vector<Acknowledgement>& told) {
  auto store = open_sqlite_store(options_at(path));
  ASSERT_TRUE(store.has_value()) << store.error().to_text();
  const auto log = range(**store, {"/log/"});
  ASSERT_TRUE(log.has_value());
  std::map<std::string, port::Revision> revisions;
  for (const port::Entry& entry : log->entries) revisions[entry.key] = entry.modified;
  for (const Acknowledgement& one : told) {
    ASSERT_EQ(revisions[log_key(one.writer, one.number)], one.revision)
        << "write " << one.number << " of writer " << one.writer << " was acknowledged";
  }
  // Nothing by halves: each writer's last number is that of its last key, and there are no gaps before it.
  const auto last = range(**store, {"/last/"});
  std::size_t keys = 0;
  for (const port::Entry& entry : last->entries) keys += std::stoull(entry.value);
  EXPECT_EQ(keys, log->entries.size());
  expect_consistent(**store);
}

TEST(SqliteKill, NothingAcknowledgedIsLostWhenTheProcessIsKilled) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("store.db");
  Rng rng(20260);
  std::vector<Acknowledgement> told;
  for (int round = 0; round < kKills; ++round) {
    KilledWriter writer(path);
    // Now and then before or at its first commits.
    const std::size_t count = round % 5 == 0 ? rng.below(3) : rng.below(600);
    const std::vector<Acknowledgement> now = writer.kill_after(count);
    told.insert(told.end(), now.begin(), now.end());
    expect_everything_told(path, told);
    if (::testing::Test::HasFatalFailure()) return;
  }
  EXPECT_GT(told.size(), 500U);
}

}  // namespace
}  // namespace gantry::store
