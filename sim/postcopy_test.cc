// Guests that go on at the target of their move before all of their memory is there: whatever ends when, one is left or
// none, and none runs twice.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/scenario.h"

namespace gantry::sim {
namespace {

using testing::AnyOf;

constexpr Milliseconds kMinuteMs = 60'000;
constexpr Milliseconds kStepMs = 170;
// Longer than a move takes with all that is fetched.
constexpr Milliseconds kMoveMs = 9'000;

// "web" runs on one of two machines, with its disk in a pool that both have.
struct Fetching : Scenario {
  Fetching() : Scenario({"a", "b"}) {
    user().share();
    settle();
    user().launch("web").in_shared_pool();
    settle();
    from = where("web");
    to = from == "a" ? "b" : "a";
    user().move("web", to, true);
  }
  Machine& source() { return host(from); }
  Machine& target() { return host(to); }
  [[nodiscard]] std::string ended() const {
    const v1::Task* task = task_record("vm.move");
    return task == nullptr ? "not asked for" : v1::Task::State_Name(task->state());
  }
  [[nodiscard]] bool is_fetching() const {
    for (const auto& [id, vm] : cluster.records.vms) {
      if (vm.status().move().fetching()) return true;
    }
    return false;
  }
  [[nodiscard]] bool is_lost() { return vm_record("web")->status().state() == v1::VmStatus::CRASHED; }
  std::string from;
  std::string to;
};

// What is done that long after the move was asked for. Whether some of these moments were while memory was fetched, and
// whether a guest was lost then.
struct Seen {
  bool fetching = false;
  bool lost = false;
};
Seen at_every_moment(const char* what, const std::function<void(Fetching&)>& deed) {
  Seen seen;
  for (Milliseconds moment_ms = 1; moment_ms <= kMoveMs; moment_ms += kStepMs) {
    Fetching scenario;
    scenario.pass(moment_ms);
    const bool was_fetching = scenario.is_fetching();
    deed(scenario);
    scenario.pass(2 * kMinuteMs);
    scenario.settle();
    const std::string when = std::string(what) + " after " + std::to_string(moment_ms) + " ms";
    EXPECT_THAT(scenario.ended(), AnyOf("SUCCEEDED", "FAILED", "CANCELLED")) << when;
    EXPECT_EQ(scenario.violations(), "") << when;
    seen.fetching = seen.fetching || was_fetching;
    if (scenario.is_lost()) {
      seen.lost = true;
      EXPECT_EQ(scenario.where("web"), "") << when;
      EXPECT_EQ(scenario.vm_record("web")->status().problem().code(), "guest_lost_in_move") << when;
      const std::string home = scenario.vm_record("web")->placement().host_id();
      if (was_fetching) {
        EXPECT_EQ(home, scenario.target().world.host_id) << when;
      }
      scenario.user().start("web");
      scenario.settle();
      EXPECT_EQ(scenario.violations(), "") << when;
    }
    EXPECT_THAT(scenario.where("web"), AnyOf(scenario.from, scenario.to)) << when;
    if (testing::Test::HasFailure()) return seen;
  }
  return seen;
}

TEST(Postcopy, AGuestGoesOnWhileItsMemoryIsFetched) {
  Fetching scenario;
  bool fetched = false;
  for (int i = 0; i < 90 && scenario.ended() != "SUCCEEDED"; ++i) {
    scenario.pass(100);
    if (!scenario.is_fetching()) continue;
    fetched = true;
    EXPECT_EQ(scenario.target().world.live_guests().size(), 1U);
    EXPECT_TRUE(scenario.source().world.live_guests().empty());
  }
  EXPECT_TRUE(fetched);
  scenario.settle();
  EXPECT_EQ(scenario.ended(), "SUCCEEDED");
  EXPECT_EQ(scenario.where("web"), scenario.to);
  EXPECT_TRUE(scenario.source().world.guests.empty());
  EXPECT_EQ(scenario.violations(), "");
}

TEST(Postcopy, TheSourceMayLoseItsPower) {
  const Seen seen = at_every_moment("the source loses its power", [](Fetching& f) { f.source().lose_power(); });
  EXPECT_TRUE(seen.fetching);
  EXPECT_TRUE(seen.lost);
}

TEST(Postcopy, TheTargetMayLoseItsPower) {
  EXPECT_TRUE(at_every_moment("the target loses its power", [](Fetching& f) { f.target().lose_power(); }).fetching);
}

TEST(Postcopy, AgentsAndTheManagerMayBeKilled) {
  const auto no_loss = [](const char* what, const std::function<void(Fetching&)>& deed) {
    EXPECT_FALSE(at_every_moment(what, deed).lost) << what;
  };
  no_loss("the source's agent is killed", [](Fetching& f) { f.source().crash_agent(); });
  no_loss("the target's agent is killed", [](Fetching& f) { f.target().crash_agent(); });
  no_loss("the manager is killed", [](Fetching& f) { f.kill_manager(); });
}

TEST(Postcopy, SentinelsMayBeKilled) {
  at_every_moment("the source's sentinel is killed", [](Fetching& f) { f.source().world.sentinel.crash(); });
  at_every_moment("the target's sentinel is killed", [](Fetching& f) { f.target().world.sentinel.crash(); });
}

TEST(Postcopy, HostsMayBeCutOffFromTheManager) {
  for (const Cut way : {Cut::both, Cut::to_host, Cut::to_manager}) {
    at_every_moment("the source is cut off", [way](Fetching& f) { f.source().cut_off(way, kMinuteMs); });
    at_every_moment("the target is cut off", [way](Fetching& f) { f.target().cut_off(way, kMinuteMs); });
  }
}

TEST(Postcopy, TheVmMayBeDeleted) {
  for (Milliseconds moment_ms = 1; moment_ms <= kMoveMs; moment_ms += kStepMs) {
    Fetching scenario;
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
