// Hosts that are emptied, and what may fail meanwhile.
#include <gmock/gmock.h>

#include <functional>

#include "sim/scenario.h"

namespace gantry::sim {
namespace {

using testing::HasSubstr;

constexpr Milliseconds kMinuteMs = 60'000;
constexpr Milliseconds kStepMs = 400;
// Longer than two rounds of moves take when nothing fails.
constexpr Milliseconds kEmptyingMs = 12'000;

// Three guests on "b" that can be moved, put there by keeping the others in maintenance.
struct Emptying : Scenario {
  Emptying() : Scenario({"a", "b", "c"}) {
    user().share();
    settle();
    user().maintain("a");
    user().maintain("c");
    settle();
    for (const char* name : kNames) user().launch(name).in_shared_pool();
    settle();
    user().maintain("a", false);
    user().maintain("c", false);
    settle();
  }
  static constexpr const char* kNames[] = {"one", "two", "three"};

  [[nodiscard]] int on_b() const {
    int count = 0;
    for (const char* name : kNames) count += where(name) == "b" ? 1 : 0;
    return count;
  }
  [[nodiscard]] const v1::Task* last_update() const {
    const v1::Task* last = nullptr;
    for (const auto& [id, task] : cluster.records.tasks) {
      const bool later = last == nullptr || task.meta().created_at().seconds() > last->meta().created_at().seconds();
      if (task.action() == "host.update" && task.target_name() == "b" && later) last = &task;
    }
    return last;
  }
};

TEST(Maintenance, EmptiesTheHostAndNothingComesBack) {
  Emptying scenario;
  ASSERT_EQ(scenario.on_b(), 3);
  scenario.user().maintain("b");
  scenario.settle();
  EXPECT_EQ(scenario.on_b(), 0);
  for (const char* name : Emptying::kNames) EXPECT_NE(scenario.where(name), "");
  EXPECT_EQ(scenario.last_update()->state(), v1::Task::SUCCEEDED);
  scenario.user().maintain("b", false);
  scenario.settle();
  scenario.pass(5 * kMinuteMs);
  EXPECT_EQ(scenario.on_b(), 0);
  EXPECT_EQ(scenario.violations(), "");
}

TEST(Maintenance, WaitsForWhatCannotGo) {
  Emptying scenario;
  scenario.user().launch("private").on("b");
  scenario.settle();
  scenario.user().maintain("b");
  scenario.settle();
  EXPECT_EQ(scenario.on_b(), 0);
  EXPECT_EQ(scenario.where("private"), "b");
  scenario.pass(kStepMs * 10);
  const v1::Task* task = scenario.last_update();
  EXPECT_EQ(task->state(), v1::Task::RUNNING);
  EXPECT_THAT(task->progress().phase(), HasSubstr("1 of 4 guests left; private: "));
  scenario.user().stop("private");
  scenario.settle();
  EXPECT_EQ(scenario.last_update()->state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(scenario.violations(), "");
}

// Whatever fails meanwhile, in the end the host is empty and each guest runs once.
void at_every_moment(const char* what, const std::function<void(Emptying&)>& deed) {
  for (Milliseconds moment_ms = 1; moment_ms <= kEmptyingMs; moment_ms += kStepMs) {
    Emptying scenario;
    scenario.user().maintain("b");
    scenario.pass(moment_ms);
    deed(scenario);
    scenario.pass(kMinuteMs);
    scenario.settle();
    const std::string when = std::string(what) + " after " + std::to_string(moment_ms) + " ms";
    EXPECT_EQ(scenario.on_b(), 0) << when;
    for (const char* name : Emptying::kNames) EXPECT_NE(scenario.where(name), "") << when;
    EXPECT_EQ(scenario.last_update()->state(), v1::Task::SUCCEEDED) << when;
    ASSERT_EQ(scenario.violations(), "") << when;
  }
}

TEST(Maintenance, TheManagerMayBeKilled) {
  at_every_moment("the manager is killed", [](Emptying& scenario) { scenario.kill_manager(); });
}

TEST(Maintenance, TheHostMayLoseItsPower) {
  at_every_moment("the host loses its power", [](Emptying& scenario) { scenario.host("b").lose_power(); });
}

TEST(Maintenance, AHostThatGuestsGoToMayBeCutOff) {
  at_every_moment("a target is cut off",
                  [](Emptying& scenario) { scenario.host("c").cut_off(Cut::both, kMinuteMs / 2); });
}

TEST(Maintenance, ToEndItLeavesEachGuestWhereItIs) {
  for (Milliseconds moment_ms = 1; moment_ms <= kEmptyingMs; moment_ms += kStepMs) {
    Emptying scenario;
    scenario.user().maintain("b");
    scenario.pass(moment_ms);
    scenario.user().maintain("b", false);
    scenario.settle();
    const int left = scenario.on_b();
    scenario.pass(2 * kMinuteMs);
    EXPECT_EQ(scenario.on_b(), left) << "ended after " << moment_ms << " ms";
    EXPECT_FALSE(scenario.host_record("b")->spec().maintenance());
    ASSERT_EQ(scenario.violations(), "") << "ended after " << moment_ms << " ms";
  }
}

}  // namespace
}  // namespace gantry::sim
