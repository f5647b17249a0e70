#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <future>
#include <stdexcept>
#include <thread>

#include "runtime/event_loop.h"
#include "runtime/files.h"
#include "runtime/process.h"
#include "runtime/worker_pool.h"

namespace gantry::runtime {
namespace {

TEST(Process, GivesInputAndTakesOutput) {
  const auto result = run_process({.argv = {"cat"}, .input = std::string(300000, 'x')});
  ASSERT_TRUE(result) << result.error().to_text();
  EXPECT_EQ(result->out.size(), 300000U);
}

TEST(Process, NamesAMissingProgram) {
  const auto result = run_process({.argv = {"no-such-program-here"}});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::unsupported);
}

TEST(Process, FailsWithTheProgramsLastWords) {
  const auto result = run_process({.argv = {"sh", "-c", "echo out; echo words >&2; exit 3"}});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().cause, "words");
}

TEST(Process, EndsWhatTakesTooLong) {
  const auto result = run_process({.argv = {"sleep", "1000"}, .timeout_ms = 50});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::timed_out);
}

TEST(Process, CanBeCancelled) {
  auto cancel = std::make_shared<std::atomic<bool>>(true);
  const auto result = run_process({.argv = {"sleep", "1000"}, .cancel = cancel});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::cancelled);
}

TEST(Process, KillsWhatTheProgramLeftBehind) {
  const auto result = run_process({.argv = {"sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!"}});
  ASSERT_TRUE(result) << result.error().to_text();
  const pid_t left = std::stoi(result->out);
  while (::kill(left, 0) == 0) std::this_thread::yield();
}

class Files : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "gantry-files-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string directory_;
};

TEST_F(Files, ReadBackWhatWasWritten) {
  const std::string path = directory_ + "/a";
  ASSERT_TRUE(write_file_durably(path, "one", 0640));
  ASSERT_TRUE(write_file_durably(path, "two", 0640));
  EXPECT_EQ(read_file(path).value(), "two");
  struct stat facts {};
  ASSERT_EQ(::stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777U, 0640U);
  EXPECT_EQ(read_file(directory_ + "/none").error().code, ErrorCode::not_found);
}

TEST_F(Files, RefuseMoreThanAsked) {
  ASSERT_TRUE(write_file_durably(directory_ + "/a", "12345"));
  EXPECT_EQ(read_file(directory_ + "/a", 4).error().code, ErrorCode::corrupt);
}

TEST(EventLoop, RunsWorkOfOtherThreadsInOrder) {
  EventLoop loop;
  std::vector<int> seen;
  WorkerPool pool(1);
  pool.submit([&] {
    for (int i = 0; i < 100; ++i) loop.post([&seen, i] { seen.push_back(i); });
    loop.post([&] { loop.post_after(1, [&] { loop.stop(); }); });
  });
  loop.run();
  ASSERT_EQ(seen.size(), 100U);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

TEST(EventLoop, GoesOnAfterAnException) {
  EventLoop loop;
  bool went_on = false;
  loop.post([] { throw std::runtime_error("on the loop"); });
  loop.post_after(1, [] { throw std::runtime_error("in a timer"); });
  loop.post_after(2, [&] {
    went_on = true;
    loop.stop();
  });
  testing::internal::CaptureStderr();
  loop.run();
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(went_on);
  EXPECT_NE(told.find("on the loop\n"), std::string::npos) << told;
  EXPECT_NE(told.find("in a timer\n"), std::string::npos) << told;
}

TEST(WorkerPool, GoesOnAfterAnException) {
  std::promise<void> went_on;
  testing::internal::CaptureStderr();
  {
    WorkerPool pool(1);
    pool.submit([] { throw std::runtime_error("on a\nworker"); });
    pool.submit([&] { went_on.set_value(); });
    went_on.get_future().wait();
  }
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_NE(told.find("on a worker\n"), std::string::npos) << told;
}

}  // namespace
}  // namespace gantry::runtime
