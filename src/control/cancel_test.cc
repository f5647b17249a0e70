// Cancelling a stop, pause or resume takes back what it asked for, and nothing that another task asked.
#include <gtest/gtest.h>

#include "control/test_world.h"

namespace gantry::control {
namespace {

// A VM that runs, on a host that does nothing any more.
class CancelTest : public testing::Test {
 protected:
  CancelTest() {
    world.make_image();
    world.make_vm();
    world.host.asleep = true;
  }
  void cancel(const v1::Accepted& accepted) {
    const auto answer = world.call("CancelTask", World::by_id(accepted.task().meta().id()));
    ASSERT_TRUE(answer) << answer.error().to_text();
    world.executor.run_for(1'000);
    EXPECT_EQ(state(accepted), v1::Task::CANCELLED);
  }
  [[nodiscard]] v1::Task::State state(const v1::Accepted& accepted) const {
    return world.task(accepted.task().meta().id()).state();
  }
  [[nodiscard]] const v1::VmSpec& spec() const { return world.vm().spec(); }
  v1::Accepted stop(bool force, std::uint32_t timeout_seconds = 0) {
    v1::StopVmRequest request = World::stop_request(force);
    request.set_timeout_seconds(timeout_seconds);
    return world.accept("StopVm", request);
  }

  World world;
};

TEST_F(CancelTest, AResumeOfWhatWasNotPausedPausesNothing) {
  v1::CreateVmRequest request = World::vm_request("new");
  const v1::Accepted made = world.accept("CreateVm", request);
  const v1::Accepted resume = world.accept("ResumeVm", World::by_id("new"));
  cancel(resume);
  EXPECT_EQ(world.vm("new").spec().power(), v1::VmSpec::RUNNING);
  world.host.asleep = false;
  EXPECT_EQ(world.ended(made).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.vm("new").status().state(), v1::VmStatus::RUNNING);
}

TEST_F(CancelTest, AStopLeavesALaterForcedOneItsWay) {
  const v1::Accepted asked = stop(false, 300);
  const v1::Accepted forced = stop(true);
  cancel(asked);
  EXPECT_EQ(spec().power(), v1::VmSpec::STOPPED);
  EXPECT_EQ(spec().force_stop_id(), forced.task().meta().id());
  cancel(forced);
  EXPECT_EQ(spec().power(), v1::VmSpec::RUNNING);
  EXPECT_EQ(spec().force_stop_id(), "");
}

TEST_F(CancelTest, AForcedStopLeavesAnEarlierOneThatAsks) {
  const v1::Accepted asked = stop(false, 300);
  cancel(stop(true));
  EXPECT_EQ(spec().power(), v1::VmSpec::STOPPED);
  EXPECT_EQ(spec().force_stop_id(), "");
  EXPECT_EQ(spec().stop_once_timeout_seconds(), 300U);
  EXPECT_EQ(state(asked), v1::Task::RUNNING);
  cancel(asked);
  EXPECT_EQ(spec().power(), v1::VmSpec::RUNNING);
  EXPECT_EQ(spec().stop_once_timeout_seconds(), 0U);
}

TEST_F(CancelTest, AStopOfAPausedGuestLeavesItPaused) {
  world.host.asleep = false;
  world.ended(world.accept("PauseVm", World::by_id("web")));
  world.host.asleep = true;
  cancel(stop(false));
  EXPECT_EQ(spec().power(), v1::VmSpec::PAUSED);
}

TEST_F(CancelTest, TwoPausesAreTakenBackWithTheSecond) {
  const v1::Accepted first = world.accept("PauseVm", World::by_id("web"));
  const v1::Accepted second = world.accept("PauseVm", World::by_id("web"));
  cancel(first);
  EXPECT_EQ(spec().power(), v1::VmSpec::PAUSED);
  cancel(second);
  EXPECT_EQ(spec().power(), v1::VmSpec::RUNNING);
}

TEST_F(CancelTest, NothingIsUndoneThatALaterTaskChanged) {
  const v1::Accepted pause = world.accept("PauseVm", World::by_id("web"));
  const auto cancelled = world.call("CancelTask", World::by_id(pause.task().meta().id()));
  ASSERT_TRUE(cancelled);
  const v1::Accepted stopped = stop(false);
  const v1::Accepted started = world.accept("StartVm", World::by_id("web"));
  world.executor.run_for(1'000);
  EXPECT_EQ(world.refused("CancelTask", World::by_id(stopped.task().meta().id())), "task_ended");
  EXPECT_EQ(spec().power(), v1::VmSpec::RUNNING);
  EXPECT_EQ(spec().boot_id(), started.task().meta().id());
}

}  // namespace
}  // namespace gantry::control
