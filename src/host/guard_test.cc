#include "host/guard.h"

#include <gtest/gtest.h>

namespace gantry::host {
namespace {

TEST(GuardTest, AGuestIsStoppedThenFrozenAndGoesOnWithItsRight) {
  GuardState state;
  EXPECT_EQ(plan_guard(state, LeaseRight::run, 100), GuardStep::none);
  EXPECT_EQ(plan_guard(state, LeaseRight::paused, 100), GuardStep::stop);
  state.freeze_at_ms = freeze_at(100, 5'000);
  EXPECT_EQ(plan_guard(state, LeaseRight::paused, 200), GuardStep::none);
  EXPECT_EQ(next_guard_ms(state, LeaseRight::paused), 100 + kGuestStopMs);
  state.stop_answered = true;
  EXPECT_EQ(plan_guard(state, LeaseRight::paused, 200), GuardStep::freeze);
  state.frozen = true;
  EXPECT_EQ(plan_guard(state, LeaseRight::paused, 90'000), GuardStep::none);
  EXPECT_EQ(plan_guard(state, LeaseRight::run, 90'000), GuardStep::thaw);
}

TEST(GuardTest, AQemuThatDoesNotAnswerIsFrozenInTime) {
  GuardState state{.freeze_at_ms = freeze_at(100, 5'000)};
  EXPECT_EQ(plan_guard(state, LeaseRight::paused, 100 + kGuestStopMs), GuardStep::freeze);
  const LeaseTimes times;
  EXPECT_LT(times.pause_ms + kGuestStopMs, times.kill_ms);
}

TEST(GuardTest, AGuestThatIsToldToStopTooLateIsFrozenBeforeItsRightEndsElsewhere) {
  const LeaseTimes times;
  const Milliseconds paused_late_ms = times.pause_ms + 2'000;
  EXPECT_LT(freeze_at(paused_late_ms, times.kill_ms), times.kill_ms);
  EXPECT_EQ(freeze_at(times.kill_ms, times.kill_ms), times.kill_ms);
  EXPECT_EQ(freeze_at(100, 0), 100 + kGuestStopMs);
}

// A QEMU that hangs answers late or never, and whoever is woken for what is past is woken without end.
TEST(GuardTest, NothingIsDueForOneThatMayRunAgainBeforeItAnsweredToBeStopped) {
  const GuardState state{.freeze_at_ms = 100};
  EXPECT_EQ(plan_guard(state, LeaseRight::run, 90'000), GuardStep::thaw);
  EXPECT_EQ(next_guard_ms(state, LeaseRight::run), 0);
}

TEST(GuardTest, OneWhoseLeaseIsAnothersIsKilled) {
  EXPECT_EQ(plan_guard(GuardState{.frozen = true}, LeaseRight::none, 100), GuardStep::kill);
}

}  // namespace
}  // namespace gantry::host
