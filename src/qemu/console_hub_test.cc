#include "qemu/console_hub.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "runtime/event_loop.h"

namespace gantry::qemu {
namespace {

constexpr const char* kVm = "vm-4f7k2m9qzt3x";

// The loop is run by the test itself: what has to happen is seen step by step.
class ConsoleHubTest : public testing::Test {
 protected:
  void SetUp() override {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
    guest_ = UniqueFd(ends[0]);
    hub_.attach(kVm, UniqueFd(ends[1]), "before ", [this] { ++grown_; });
  }
  bool run_until(const std::function<bool()>& reached) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (std::chrono::steady_clock::now() < end) {
      if (reached()) return true;
      loop_.context().run_one_for(std::chrono::milliseconds(100));
    }
    return false;
  }
  std::unique_ptr<port::ConsoleSession> open(std::string& text, bool& closed) {
    auto session = hub_.open(
        kVm, [&](std::string_view bytes) { text.append(bytes); }, [&] { closed = true; });
    EXPECT_TRUE(session);
    return session ? std::move(*session) : nullptr;
  }
  void say(const std::string& text) {
    ASSERT_EQ(::send(guest_.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  }

  runtime::EventLoop loop_;
  ConsoleHub hub_{loop_};
  UniqueFd guest_;
  int grown_ = 0;
};

TEST_F(ConsoleHubTest, ReplaysToEachAndGivesToAll) {
  std::string first;
  std::string second;
  bool closed = false;
  const auto one = open(first, closed);
  ASSERT_TRUE(run_until([&] { return first == "before "; }));
  say("now");
  ASSERT_TRUE(run_until([&] { return first == "before now"; }));
  const auto two = open(second, closed);
  ASSERT_TRUE(run_until([&] { return second == "before now"; }));
  two->write("typed");
  std::array<char, 16> buffer{};
  ASSERT_TRUE(run_until([&] { return ::recv(guest_.get(), buffer.data(), buffer.size(), 0) == 5; }));
  EXPECT_FALSE(closed);
}

TEST_F(ConsoleHubTest, ClosesSessionsWhenTheGuestEnds) {
  std::string text;
  bool closed = false;
  const auto session = open(text, closed);
  say("last");
  guest_.reset();
  ASSERT_TRUE(run_until([&] { return closed; }));
  EXPECT_EQ(text, "before last");
  EXPECT_FALSE(hub_.open(kVm, nullptr, nullptr));
}

TEST_F(ConsoleHubTest, CallsNobodyWhoLeft) {
  std::string left;
  std::string stays;
  bool closed = false;
  auto leaving = open(left, closed);
  const auto staying = open(stays, closed);
  ASSERT_TRUE(run_until([&] { return stays == "before "; }));
  leaving.reset();
  say("more");
  ASSERT_TRUE(run_until([&] { return stays == "before more"; }));
  EXPECT_EQ(left, "before ");
}

TEST_F(ConsoleHubTest, KeepsNothingOfOneWhoLeftASilentGuest) {
  const auto kept = std::make_shared<int>();
  for (const bool joins : {true, false}) {
    std::size_t seen = 0;
    auto session = hub_.open(
        kVm, [kept, &seen](std::string_view bytes) { seen += bytes.size(); }, nullptr);
    ASSERT_TRUE(session);
    if (joins) {
      ASSERT_TRUE(run_until([&] { return seen == 7; }));
    }
    session->reset();
    EXPECT_TRUE(run_until([&] { return kept.use_count() == 1; }));
  }
}

TEST_F(ConsoleHubTest, KeepsTheLast64KibAndTellsWhenTheLogGrew) {
  const std::string piece(32768, 'x');
  std::size_t seen = 0;
  const auto watching = hub_.open(
      kVm, [&](std::string_view bytes) { seen += bytes.size(); }, nullptr);
  ASSERT_TRUE(watching);
  ASSERT_TRUE(run_until([&] { return seen == 7; }));
  for (std::size_t i = 1; i <= 40; ++i) {
    say(piece);
    ASSERT_TRUE(run_until([&] { return seen == 7 + i * piece.size(); }));
  }
  ASSERT_TRUE(run_until([&] { return grown_ == 1; }));
  std::string text;
  bool closed = false;
  const auto session = open(text, closed);
  ASSERT_TRUE(run_until([&] { return !text.empty(); }));
  EXPECT_EQ(text.size(), 65536U);
}

TEST_F(ConsoleHubTest, DropsWhatTheGuestDoesNotRead) {
  std::string text;
  bool closed = false;
  const auto session = open(text, closed);
  for (int i = 0; i < 200; ++i) session->write(std::string(32768, 'y'));
  ASSERT_TRUE(run_until([&] { return !text.empty(); }));
  say("alive");
  EXPECT_TRUE(run_until([&] { return text == "before alive"; }));
}

}  // namespace
}  // namespace gantry::qemu
