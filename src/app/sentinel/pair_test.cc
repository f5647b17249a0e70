// What the process that stands by does with what it is told.
#include "app/sentinel/pair.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <functional>
#include <future>

#include "app/sentinel/keeper.h"

namespace gantry::sentinel {
namespace {

namespace fs = std::filesystem;
constexpr const char* kVm = "vm-000000000001";

class StandByTest : public testing::Test {
 protected:
  StandByTest() {
    std::string name = "/tmp/gantry-pair-test-XXXXXX";
    directory_ = ::mkdtemp(name.data());
    fs::create_directories(directory_ / "sentinel");
    guard_ = guard_path(directory_, kVm);
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    serving_ = UniqueFd(ends[0]);
    standing_by_ = std::async(std::launch::async, [fd = ends[1], directory = directory_.string()] {
      return stand_by(UniqueFd(fd), directory).has_value();
    });
  }
  ~StandByTest() override {
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
  }

  void tell(const Handover& handover) {
    const std::string line = to_line(handover);
    ASSERT_EQ(::send(serving_.get(), line.data(), line.size(), MSG_NOSIGNAL), static_cast<ssize_t>(line.size()));
  }
  void tell_guarded() {
    Ward ward;
    ward.wish = {.vm_id = kVm, .directory = directory_, .host_id = "host-000000000001", .epoch = 1};
    ward.guarded = true;
    tell({.wards = {ward}});
  }
  void tell_end() {
    tell({.wards = {}, .end = true});
    EXPECT_FALSE(standing_by_.get()) << "there was nothing left to guard";
  }
  void make_guard() { ASSERT_EQ(::mkfifo(guard_.c_str(), 0600), 0); }
  // Beats on while it waits, as the one that serves does.
  bool is_held_in_the_end() {
    for (int i = 0; i < 600; ++i) {
      // Of a FIFO that nobody has open for reading this fails.
      if (UniqueFd(::open(guard_.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC)).valid()) return true;
      EXPECT_EQ(::send(serving_.get(), "\n", 1, MSG_NOSIGNAL), 1);
      standing_by_.wait_for(std::chrono::milliseconds(100));
    }
    return false;
  }

  fs::path directory_;
  std::string guard_;
  UniqueFd serving_;
  std::future<bool> standing_by_;
};

TEST_F(StandByTest, HoldsTheGuardOfAGuestThatCameBack) {
  make_guard();
  tell_guarded();
  EXPECT_TRUE(is_held_in_the_end());
  fs::remove(guard_);
  make_guard();
  tell_guarded();
  EXPECT_TRUE(is_held_in_the_end());
  tell_end();
}

TEST_F(StandByTest, MakesNoGuardAnewThatWasRemovedWhileItWasTold) {
  tell_guarded();
  tell_end();
  EXPECT_FALSE(fs::exists(guard_));
}

}  // namespace
}  // namespace gantry::sentinel
