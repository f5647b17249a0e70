#include "qemu/one_timer.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace gantry::qemu {
namespace {

// Time passes when the test says so.
class FakeLoop final : public port::Executor {
 public:
  void post(std::function<void()> work) override { post_after(0, std::move(work)); }
  void post_after(Milliseconds delay_ms, std::function<void()> work) override {
    queue_.emplace(now_ms_ + delay_ms, std::move(work));
  }
  [[nodiscard]] Now now() const override { return {.monotonic_ms = now_ms_, .unix_ms = now_ms_}; }
  void pass(Milliseconds delay_ms) {
    const Milliseconds end_ms = now_ms_ + delay_ms;
    while (!queue_.empty() && queue_.begin()->first <= end_ms) {
      const auto work = std::move(queue_.begin()->second);
      now_ms_ = queue_.begin()->first;
      queue_.erase(queue_.begin());
      work();
    }
    now_ms_ = end_ms;
  }

 private:
  std::multimap<Milliseconds, std::function<void()>> queue_;
  Milliseconds now_ms_ = 0;
};

TEST(OneTimer, CallsBackOnceAndOnlyForTheLastThatWasArmed) {
  FakeLoop loop;
  OneTimer timer(loop);
  std::string called;
  timer.arm(30'000, [&] { called += "late "; });
  timer.arm(2'000, [&] { called += "soon "; });
  loop.pass(1'999);
  EXPECT_EQ(called, "");
  loop.pass(1);
  EXPECT_EQ(called, "soon ");
  loop.pass(60'000);
  EXPECT_EQ(called, "soon ");
  timer.arm(10, [&] { called += "again "; });
  loop.pass(10);
  EXPECT_EQ(called, "soon again ");
}

TEST(OneTimer, IsSilentOnceDisarmedOrGone) {
  FakeLoop loop;
  int calls = 0;
  {
    OneTimer timer(loop);
    timer.arm(10, [&] { ++calls; });
    timer.disarm();
    loop.pass(10);
    EXPECT_EQ(calls, 0);
    timer.arm(10, [&] { ++calls; });
  }
  loop.pass(10);
  EXPECT_EQ(calls, 0);
}

}  // namespace
}  // namespace gantry::qemu
