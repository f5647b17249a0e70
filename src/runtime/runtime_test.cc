#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <stdexcept>
#include <thread>
#include <utility>

#include "base/unique_fd.h"
#include "runtime/event_loop.h"
#include "runtime/files.h"
#include "runtime/machine_addresses.h"
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

TEST(Process, EndsWhatClosesItsOutputsAndLivesOn) {
  const auto result = run_process({.argv = {"sh", "-c", "exec >&- 2>&-; sleep 60"}, .timeout_ms = 50});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::timed_out);
}

TEST(Process, LeavesNoDescriptorToTheProgram) {
  const UniqueFd ours(::fcntl(STDOUT_FILENO, F_DUPFD, 77));
  ASSERT_TRUE(ours.valid());
  const auto result = run_process({.argv = {"test", "!", "-e", "/proc/self/fd/" + std::to_string(ours.get())}});
  EXPECT_TRUE(result) << "it has descriptor " << ours.get();
}

constexpr std::uint32_t kNobody = 65534;

TEST(Process, HasNoWayToMoreRightsAsAnotherUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const auto result = run_process({.argv = {"cat", "/proc/self/status"}, .uid = kNobody});
  ASSERT_TRUE(result) << result.error().to_text();
  EXPECT_NE(result->out.find("NoNewPrivs:\t1"), std::string::npos) << result->out;
  EXPECT_NE(result->out.find("Uid:\t65534\t65534\t65534\t65534"), std::string::npos) << result->out;
}

void tell(int fd, std::string_view text) {
  if (::write(fd, text.data(), text.size()) < 0) ::_exit(1);
}

// A process of its own that may be killed.
class Daemon {
 public:
  explicit Daemon(const std::function<void(int to)>& work) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    told_ = UniqueFd(ends[0]);
    const UniqueFd to(ends[1]);
    pid_ = ::fork();
    if (pid_ != 0) return;
    work(to.get());
    ::_exit(0);
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  ~Daemon() { kill(); }
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(std::exchange(pid_, 0), nullptr, 0);
  }
  // The next line it tells; "" when it told its last.
  std::string line() {
    std::string line;
    char letter = 0;
    while (::read(told_.get(), &letter, 1) == 1 && letter != '\n') line += letter;
    return line;
  }

 private:
  pid_t pid_ = 0;
  UniqueFd told_;
};

class ProcessOfADaemon : public testing::TestWithParam<std::uint32_t> {};

TEST_P(ProcessOfADaemon, EndsWithIt) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  Daemon daemon([](int to) {
    static_cast<void>(run_process({.argv = {"sh", "-c", "echo $$; exec sleep 60"},
                                   .on_output = [to](std::string_view text) { tell(to, text); },
                                   .uid = GetParam()}));
  });
  const pid_t helper = std::stoi(daemon.line());
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, helper, 0)));
  ASSERT_TRUE(pidfd.valid());
  daemon.kill();
  pollfd ended{pidfd.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&ended, 1, 30'000), 1) << "the helper outlives its daemon";
}

INSTANTIATE_TEST_SUITE_P(EachUser, ProcessOfADaemon, testing::Values(0U, kNobody));

TEST(Process, IsJudgedAsAnyOtherWhenMemoryRunsOut) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  // To spare a process takes a right that this machine may not give; to give it up first takes none.
  Daemon daemon([](int to) {
    std::ofstream("/proc/self/oom_score_adj") << "500";
    for (const std::uint32_t uid : {0U, kNobody}) {
      const auto score = run_process({.argv = {"cat", "/proc/self/oom_score_adj"}, .uid = uid});
      tell(to, score ? score->out : score.error().to_text() + "\n");
    }
  });
  EXPECT_EQ(daemon.line(), "0");
  EXPECT_EQ(daemon.line(), "0");
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

TEST(MachineAddresses, TheOwnEndOfTheWayToAnother) {
  EXPECT_EQ(address_towards("127.0.0.1:8444"), "127.0.0.1");
  EXPECT_EQ(address_towards("[::1]:8444"), "::1");
  for (const char* none : {"", "nonsense", "no.such.host.invalid:1", "[:1"}) {
    EXPECT_EQ(address_towards(none), "") << none;
  }
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
