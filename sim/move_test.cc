// Guests that are moved from one host to another, and everything that may fail at any moment of it.
#include <gmock/gmock.h>

#include <functional>

#include "sim/scenario.h"

namespace gantry::sim {
namespace {

using testing::AnyOf;

constexpr Milliseconds kMinuteMs = 60'000;
constexpr Milliseconds kStepMs = 130;
// Longer than a move takes when nothing fails.
constexpr Milliseconds kMoveMs = 5'200;

enum class Disk { in_shared_pool, in_own_pool };

// "web" runs on one of three machines, with its disk in a pool that all have, or in one of its host's own.
struct Moving : Scenario {
  explicit Moving(Disk disk = Disk::in_shared_pool) : Scenario({"a", "b", "c"}) {
    user().share();
    settle();
    auto launch = user().launch("web");
    disk == Disk::in_own_pool ? launch.in_own_pool() : launch.in_shared_pool();
    settle();
    from = where("web");
    to = from == "c" ? "b" : "c";
  }
  std::string from;
  std::string to;

  void move() { user().move("web", to); }
  Machine& source() { return host(from); }
  Machine& target() { return host(to); }
  [[nodiscard]] int boots() const {
    int all = 0;
    for (const auto& [boot, times] : cluster.stage.deeds.boots) all += times;
    return all;
  }
  // The target had it, and lost it.
  [[nodiscard]] bool lost() const {
    const v1::Task* task = task_record("vm.move");
    return task != nullptr && task->problem().code() == "guest_lost_in_move";
  }
  // A cancel that came after it had gone ended the waiting alone.
  [[nodiscard]] bool cancelled_late() const {
    const v1::Task* task = task_record("vm.move");
    return task != nullptr && task->state() == v1::Task::CANCELLED &&
           vm_record("web")->placement().moved_by() == task->meta().id();
  }
  // How the move ended.
  [[nodiscard]] std::string ended() const {
    const v1::Task* task = task_record("vm.move");
    if (task != nullptr) return v1::Task::State_Name(task->state());
    for (const std::string& line : cluster.trace.lines()) {
      if (line.find("refused") != std::string::npos) return line;
    }
    return "not asked for";
  }
};

// What is done that long after a move was asked for; the guest runs on one of the two afterwards, and the task says on
// which.
void at_every_moment(Disk disk, const char* what, const std::function<void(Moving&)>& deed, bool may_boot_again) {
  for (Milliseconds moment_ms = 1; moment_ms <= kMoveMs; moment_ms += kStepMs) {
    Moving scenario(disk);
    ASSERT_NE(scenario.from, "");
    scenario.move();
    scenario.pass(moment_ms);
    deed(scenario);
    scenario.pass(2 * kMinuteMs);
    scenario.settle();
    const std::string when = std::string(what) + " after " + std::to_string(moment_ms) + " ms" +
                             (disk == Disk::in_own_pool ? ", its disk goes with it" : "");
    const bool went =
        scenario.ended() == "SUCCEEDED" || (may_boot_again && scenario.lost()) || scenario.cancelled_late();
    ASSERT_THAT(scenario.ended(), AnyOf("SUCCEEDED", "FAILED", "CANCELLED")) << when;
    EXPECT_EQ(scenario.where("web"), went ? scenario.to : scenario.from) << when << ": " << scenario.ended();
    if (!may_boot_again) {
      EXPECT_EQ(scenario.boots(), 1) << when;
    }
    ASSERT_EQ(scenario.violations(), "") << when;
  }
}
void at_every_moment(const char* what, const std::function<void(Moving&)>& deed, bool may_boot_again) {
  for (const Disk disk : {Disk::in_shared_pool, Disk::in_own_pool}) at_every_moment(disk, what, deed, may_boot_again);
}

TEST(Move, AGuestIsMovedAndNotBootedAgain) {
  Moving scenario;
  scenario.move();
  scenario.settle();
  EXPECT_EQ(scenario.ended(), "SUCCEEDED");
  EXPECT_EQ(scenario.where("web"), scenario.to);
  EXPECT_EQ(scenario.boots(), 1);
  EXPECT_TRUE(scenario.source().world.guests.empty());
  // And back, and on.
  scenario.user().move("web", scenario.from);
  scenario.settle();
  EXPECT_EQ(scenario.where("web"), scenario.from);
  const std::string third = scenario.from == "a" || scenario.to == "a" ? "b" : "a";
  scenario.user().move("web", third);
  scenario.settle();
  EXPECT_EQ(scenario.where("web"), third);
  EXPECT_EQ(scenario.boots(), 1);
  EXPECT_EQ(scenario.violations(), "");
}

TEST(Move, ItsDiskGoesWithItAndBackAndNothingOfItIsLeftBehind) {
  Moving scenario(Disk::in_own_pool);
  for (const std::string& host : {scenario.to, scenario.from}) {
    scenario.user().move("web", host);
    scenario.settle();
    EXPECT_EQ(scenario.where("web"), host);
    EXPECT_EQ(scenario.host(host).world.volumes.size(), 1U);
    EXPECT_EQ(scenario.cluster.records.volumes.size(), 1U);
  }
  EXPECT_EQ(scenario.boots(), 1);
  EXPECT_TRUE(scenario.target().world.volumes.empty());
  EXPECT_TRUE(scenario.target().world.sentinel.private_leases().empty());
  // Another boot finds what was written last.
  scenario.user().stop("web");
  scenario.settle();
  scenario.user().start("web");
  scenario.settle();
  EXPECT_EQ(scenario.where("web"), scenario.from);
  EXPECT_EQ(scenario.violations(), "");
}

class MovedAndCut : public testing::TestWithParam<Disk> {};
INSTANTIATE_TEST_SUITE_P(Disks, MovedAndCut, testing::Values(Disk::in_shared_pool, Disk::in_own_pool));

TEST_P(MovedAndCut, AMovedGuestRunsAgainWhereItIsAfterALossOfPower) {
  Moving scenario(GetParam());
  scenario.move();
  scenario.settle();
  scenario.source().lose_power();
  scenario.target().lose_power();
  scenario.settle();
  EXPECT_EQ(scenario.where("web"), scenario.to);
  EXPECT_EQ(scenario.violations(), "");
}

TEST(Move, TheManagerMayBeKilled) {
  at_every_moment(
      "the manager is killed", [](Moving& scenario) { scenario.kill_manager(); }, false);
}

TEST(Move, TheAgentOfTheSourceMayBeKilled) {
  at_every_moment(
      "the source's agent is killed", [](Moving& scenario) { scenario.source().crash_agent(); }, false);
}

TEST(Move, TheAgentOfTheTargetMayBeKilled) {
  at_every_moment(
      "the target's agent is killed", [](Moving& scenario) { scenario.target().crash_agent(); }, false);
}

TEST(Move, TheSourceMayLoseItsPower) {
  at_every_moment(
      "the source loses its power", [](Moving& scenario) { scenario.source().lose_power(); }, true);
}

TEST(Move, TheTargetMayLoseItsPower) {
  at_every_moment(
      "the target loses its power", [](Moving& scenario) { scenario.target().lose_power(); }, true);
}

TEST(Move, TheSentinelOfTheSourceMayBeKilled) {
  at_every_moment(
      "the source's sentinel is killed", [](Moving& scenario) { scenario.source().world.sentinel.crash(); }, false);
}

TEST(Move, TheSentinelOfTheTargetMayBeKilled) {
  at_every_moment(
      "the target's sentinel is killed", [](Moving& scenario) { scenario.target().world.sentinel.crash(); }, true);
}

TEST(Move, TheSourceMayBeCutOff) {
  for (const Cut way : {Cut::both, Cut::to_host, Cut::to_manager}) {
    at_every_moment(
        "the source is cut off", [way](Moving& scenario) { scenario.source().cut_off(way, kMinuteMs); }, false);
  }
}

TEST(Move, TheTargetMayBeCutOff) {
  for (const Cut way : {Cut::both, Cut::to_host, Cut::to_manager}) {
    at_every_moment(
        "the target is cut off", [way](Moving& scenario) { scenario.target().cut_off(way, kMinuteMs); }, false);
  }
}

TEST(Move, TheTaskMayBeCancelled) {
  const auto cancel = [](Moving& scenario) {
    const v1::Task* task = scenario.task_record("vm.move");
    if (task != nullptr) scenario.user().cancel(task->meta().id());
  };
  at_every_moment("the task is cancelled", cancel, false);
}

TEST(Move, TheVmMayBeDeleted) {
  for (const Disk disk : {Disk::in_shared_pool, Disk::in_own_pool}) {
    for (Milliseconds moment_ms = 1; moment_ms <= kMoveMs; moment_ms += kStepMs) {
      Moving scenario(disk);
      scenario.move();
      scenario.pass(moment_ms);
      scenario.user().remove("web");
      scenario.settle();
      EXPECT_EQ(scenario.vm_record("web"), nullptr);
      EXPECT_EQ(scenario.where("web"), "");
      EXPECT_TRUE(scenario.cluster.records.volumes.empty());
      ASSERT_EQ(scenario.violations(), "") << "deleted after " << moment_ms << " ms";
    }
  }
}

}  // namespace
}  // namespace gantry::sim
