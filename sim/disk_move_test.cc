// Disks that are moved from one pool to another while their guest runs, and everything that may fail at any moment of
// it. That a guest never boots from another disk than it wrote to last is checked wherever it boots
// (host_world_copy.cc).
#include <gmock/gmock.h>

#include <functional>

#include "sim/scenario.h"

namespace gantry::sim {
namespace {

using testing::AnyOf;

constexpr Milliseconds kMinuteMs = 60'000;
constexpr Milliseconds kStepMs = 110;
// Longer than such a move takes when nothing fails.
constexpr Milliseconds kMoveMs = 5'500;

// "web" runs on "b", with its disk in the pool of that machine.
struct DiskMoving : Scenario {
  DiskMoving() : Scenario({"a", "b"}) {
    user().share();
    settle();
    user().launch("web").on("b");
    settle();
  }

  void move() { user().move_disk("web-disk0", "shared"); }
  Machine& machine() { return host("b"); }
  [[nodiscard]] const v1::Task* task() const { return task_record("volume.move"); }
  [[nodiscard]] bool is_shared() const {
    for (const auto& [id, volume] : cluster.records.volumes) {
      if (volume.meta().name() == "web-disk0") {
        return cluster.records.shared_pools.contains(volume.spec().pool());
      }
    }
    return false;
  }
  [[nodiscard]] std::size_t files() const {
    std::size_t all = cluster.stage.shared_files->volumes.size();
    for (const HostWorld* world : cluster.stage.worlds) all += world->volumes.size();
    return all;
  }
};

// What is done that long after a move was asked for; afterwards one disk is left, where the task says, and the VM boots
// from it.
void at_every_moment(const char* what, const std::function<void(DiskMoving&)>& deed) {
  for (Milliseconds moment_ms = 1; moment_ms <= kMoveMs; moment_ms += kStepMs) {
    DiskMoving scenario;
    scenario.move();
    scenario.pass(moment_ms);
    deed(scenario);
    scenario.pass(kMinuteMs);
    scenario.settle();
    const std::string when = std::string(what) + " after " + std::to_string(moment_ms) + " ms";
    const v1::Task* task = scenario.task();
    if (task == nullptr) continue;
    ASSERT_THAT(task->state(), AnyOf(v1::Task::SUCCEEDED, v1::Task::FAILED, v1::Task::CANCELLED)) << when;
    EXPECT_EQ(scenario.is_shared(), task->state() == v1::Task::SUCCEEDED) << when << ": " << task->ShortDebugString();
    EXPECT_EQ(scenario.files(), 1U) << when;
    scenario.user().stop("web");
    scenario.settle();
    scenario.user().start("web");
    scenario.settle();
    EXPECT_EQ(scenario.where("web"), "b") << when;
    ASSERT_EQ(scenario.violations(), "") << when;
  }
}

TEST(DiskMove, GoesAndComesBack) {
  DiskMoving scenario;
  const std::uint64_t process = scenario.process_of("web");
  scenario.move();
  scenario.settle();
  ASSERT_NE(scenario.task(), nullptr);
  EXPECT_EQ(scenario.task()->state(), v1::Task::SUCCEEDED) << scenario.task()->ShortDebugString();
  EXPECT_TRUE(scenario.is_shared());
  scenario.user().move_disk("web-disk0", "default-b");
  scenario.settle();
  EXPECT_FALSE(scenario.is_shared());
  EXPECT_EQ(scenario.process_of("web"), process);
  EXPECT_EQ(scenario.files(), 1U);
  EXPECT_EQ(scenario.violations(), "");
}

TEST(DiskMove, TheManagerMayBeKilled) {
  at_every_moment("the manager is killed", [](DiskMoving& scenario) { scenario.kill_manager(); });
}

TEST(DiskMove, TheAgentMayBeKilled) {
  at_every_moment("the agent is killed", [](DiskMoving& scenario) { scenario.machine().crash_agent(); });
}

TEST(DiskMove, TheMachineMayLoseItsPower) {
  at_every_moment("the machine loses its power", [](DiskMoving& scenario) { scenario.machine().lose_power(); });
}

TEST(DiskMove, TheGuestMayGoOff) {
  at_every_moment("the guest goes off", [](DiskMoving& scenario) { scenario.shut_down_within("web"); });
}

TEST(DiskMove, ItMayBeCancelled) {
  at_every_moment("it is cancelled", [](DiskMoving& scenario) {
    if (scenario.task() != nullptr) scenario.user().cancel(scenario.task()->meta().id());
  });
}

TEST(DiskMove, TheVmMayBeStoppedAndStarted) {
  at_every_moment("the VM is stopped and started", [](DiskMoving& scenario) {
    scenario.user().stop("web");
    scenario.user().start("web");
  });
}

TEST(DiskMove, TheVmMayBeDeleted) {
  for (Milliseconds moment_ms = 1; moment_ms <= kMoveMs; moment_ms += kStepMs) {
    DiskMoving scenario;
    scenario.move();
    scenario.pass(moment_ms);
    scenario.user().remove("web");
    scenario.settle();
    EXPECT_EQ(scenario.vm_record("web"), nullptr) << moment_ms;
    EXPECT_EQ(scenario.files(), 0U) << moment_ms;
    ASSERT_EQ(scenario.violations(), "") << moment_ms;
  }
}

}  // namespace
}  // namespace gantry::sim
