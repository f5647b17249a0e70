// Guests that are moved from one host to another, and everything that may fail at any moment of it.
#include <gtest/gtest.h>

#include <functional>

#include "sim/scenario.h"

namespace gantry::sim {
namespace {

constexpr Milliseconds kMinuteMs = 60'000;
constexpr Milliseconds kStepMs = 130;
// Longer than a move takes when nothing fails.
constexpr Milliseconds kMoveMs = 5'200;

// "web" runs on b, and everything of it is in a pool that all hosts have.
void begin(Scenario& scenario) {
  scenario.user().share_a_pool();
  scenario.settle();
  scenario.user().launch("web").in_shared_pool().on("b");
  scenario.settle();
  ASSERT_EQ(scenario.where("web"), "b");
}

int boots(const Scenario& scenario) {
  int all = 0;
  for (const auto& [boot, times] : scenario.cluster.stage.deeds.boots) all += times;
  return all;
}

std::string move_task(const Scenario& scenario) {
  for (const auto& [id, task] : scenario.cluster.records.tasks) {
    if (task.action() == "vm.move") return v1::Task::State_Name(task.state());
  }
  return "none";
}

// What is done that long after a move was asked for; the guest runs on one of the two afterwards, and the task says on
// which.
void at_every_moment(const char* what, const std::function<void(Scenario&)>& deed, bool may_boot_again) {
  for (Milliseconds moment_ms = 1; moment_ms <= kMoveMs; moment_ms += kStepMs) {
    Scenario scenario({"a", "b", "c"});
    begin(scenario);
    scenario.user().move("web", "c");
    scenario.pass(moment_ms);
    deed(scenario);
    scenario.pass(2 * kMinuteMs);
    scenario.settle();
    const std::string when = std::string(what) + " after " + std::to_string(moment_ms) + " ms";
    const std::string task = move_task(scenario);
    EXPECT_EQ(scenario.where("web"), task == "SUCCEEDED" ? "c" : "b") << when << ": " << task;
    if (!may_boot_again) EXPECT_EQ(boots(scenario), 1) << when;
    ASSERT_EQ(scenario.violations(), "") << when;
  }
}

TEST(Move, AGuestIsMovedAndNotBootedAgain) {
  Scenario scenario({"a", "b", "c"});
  begin(scenario);
  scenario.user().move("web", "c");
  scenario.settle();
  EXPECT_EQ(move_task(scenario), "SUCCEEDED");
  EXPECT_EQ(scenario.where("web"), "c");
  EXPECT_EQ(boots(scenario), 1);
  EXPECT_TRUE(scenario.host("b").world.guests.empty());
  // And back, and on.
  scenario.user().move("web", "b");
  scenario.settle();
  EXPECT_EQ(scenario.where("web"), "b");
  scenario.user().move("web", "a");
  scenario.settle();
  EXPECT_EQ(scenario.where("web"), "a");
  EXPECT_EQ(boots(scenario), 1);
  EXPECT_EQ(scenario.violations(), "");
}

TEST(Move, AMovedGuestRunsAgainWhereItIsAfterALossOfPower) {
  Scenario scenario({"a", "b", "c"});
  begin(scenario);
  scenario.user().move("web", "c");
  scenario.settle();
  scenario.host("b").lose_power();
  scenario.host("c").lose_power();
  scenario.settle();
  EXPECT_EQ(scenario.where("web"), "c");
  EXPECT_EQ(scenario.violations(), "");
}

TEST(Move, TheManagerMayBeKilled) {
  at_every_moment(
      "the manager is killed", [](Scenario& scenario) { scenario.kill_manager(); }, false);
}

TEST(Move, TheAgentOfTheSourceMayBeKilled) {
  at_every_moment(
      "the source's agent is killed", [](Scenario& scenario) { scenario.host("b").crash_agent(); }, false);
}

TEST(Move, TheAgentOfTheTargetMayBeKilled) {
  at_every_moment(
      "the target's agent is killed", [](Scenario& scenario) { scenario.host("c").crash_agent(); }, false);
}

TEST(Move, TheSourceMayLoseItsPower) {
  at_every_moment(
      "the source loses its power", [](Scenario& scenario) { scenario.host("b").lose_power(); }, true);
}

TEST(Move, TheTargetMayLoseItsPower) {
  at_every_moment(
      "the target loses its power", [](Scenario& scenario) { scenario.host("c").lose_power(); }, true);
}

TEST(Move, TheSentinelOfTheSourceMayBeKilled) {
  at_every_moment(
      "the source's sentinel is killed", [](Scenario& scenario) { scenario.host("b").world.sentinel.crash(); }, false);
}

TEST(Move, TheSentinelOfTheTargetMayBeKilled) {
  at_every_moment(
      "the target's sentinel is killed", [](Scenario& scenario) { scenario.host("c").world.sentinel.crash(); }, true);
}

TEST(Move, TheSourceMayBeCutOff) {
  for (const Cut way : {Cut::both, Cut::to_host, Cut::to_manager}) {
    at_every_moment(
        "the source is cut off", [way](Scenario& scenario) { scenario.host("b").cut_off(way, kMinuteMs); }, false);
  }
}

TEST(Move, TheTargetMayBeCutOff) {
  for (const Cut way : {Cut::both, Cut::to_host, Cut::to_manager}) {
    at_every_moment(
        "the target is cut off", [way](Scenario& scenario) { scenario.host("c").cut_off(way, kMinuteMs); }, false);
  }
}

TEST(Move, TheTaskMayBeCancelled) {
  const auto cancel = [](Scenario& scenario) {
    for (const auto& [id, task] : scenario.cluster.records.tasks) {
      if (task.action() == "vm.move") scenario.user().cancel(id);
    }
  };
  at_every_moment("the task is cancelled", cancel, false);
}

TEST(Move, TheVmMayBeDeleted) {
  for (Milliseconds moment_ms = 1; moment_ms <= kMoveMs; moment_ms += kStepMs) {
    Scenario scenario({"a", "b", "c"});
    begin(scenario);
    scenario.user().move("web", "c");
    scenario.pass(moment_ms);
    scenario.user().remove("web");
    scenario.settle();
    EXPECT_EQ(scenario.vm_record("web"), nullptr);
    EXPECT_EQ(scenario.where("web"), "");
    ASSERT_EQ(scenario.violations(), "") << "deleted after " << moment_ms << " ms";
  }
}

}  // namespace
}  // namespace gantry::sim
