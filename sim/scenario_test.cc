// Scenarios of a few machines, each a fault that many of these have to get through.
#include "sim/scenario.h"

#include <gtest/gtest.h>

namespace gantry::sim {
namespace {

constexpr Milliseconds kMinuteMs = 60'000;

TEST(Scenario, AGuestRunsAgainOnItsHostThatLostItsPower) {
  Scenario scenario({"a", "b", "c"});
  scenario.user().launch("web").on("b");
  scenario.settle();
  const std::uint64_t process = scenario.process_of("web");
  scenario.host("b").lose_power();
  EXPECT_EQ(scenario.where("web"), "");
  scenario.settle();
  EXPECT_EQ(scenario.where("web"), "b");
  EXPECT_NE(scenario.process_of("web"), process);
  EXPECT_EQ(scenario.violations(), "");
}

// What was used up of the token tells the machine nothing: it asks for another, and no record is left over.
TEST(Scenario, TheManagerMayBeKilledAtAnyMomentOfAJoin) {
  for (Milliseconds moment_ms = 1; moment_ms <= 30; ++moment_ms) {
    Scenario scenario({"a"});
    Machine& late = scenario.add_machine("late");
    scenario.host("late").join();
    scenario.pass(moment_ms);
    scenario.kill_manager();
    scenario.pass(kMinuteMs);
    scenario.settle();
    EXPECT_TRUE(late.is_member()) << "killed after " << moment_ms << " ms";
    EXPECT_EQ(scenario.cluster.records.hosts.size(), 2U) << "killed after " << moment_ms << " ms";
    EXPECT_EQ(scenario.violations(), "");
  }
}

TEST(Scenario, TheManagerMayBeKilledAtAnyMomentOfALeave) {
  for (Milliseconds moment_ms = 1; moment_ms <= 200; moment_ms += 5) {
    Scenario scenario({"a", "b"});
    scenario.user().take_leave_of("b");
    scenario.pass(moment_ms);
    scenario.kill_manager();
    scenario.pass(2 * kMinuteMs);
    EXPECT_EQ(scenario.host_record("b"), nullptr) << "killed after " << moment_ms << " ms";
    EXPECT_TRUE(scenario.host("b").world.networks.empty()) << "killed after " << moment_ms << " ms";
    EXPECT_EQ(scenario.violations(), "");
  }
}

TEST(Scenario, NothingIsDraggedBackOnAHostThatWasCutOffForMinutes) {
  Scenario scenario({"a", "b", "c"});
  scenario.user().launch("stays").on("b");
  scenario.user().launch("ends").on("b");
  scenario.settle();
  const std::uint64_t process = scenario.process_of("stays");
  scenario.host("b").cut_off(Cut::both, 5 * kMinuteMs);
  scenario.pass(kMinuteMs);
  EXPECT_EQ(scenario.host_record("b")->status().state(), v1::HostStatus::LOST);
  scenario.shut_down_within("ends");
  scenario.pass(3 * kMinuteMs);
  EXPECT_EQ(scenario.where("stays"), "b") << "nobody else starts it, and nobody stops it";
  scenario.settle();
  EXPECT_EQ(scenario.host_record("b")->status().state(), v1::HostStatus::CONNECTED);
  EXPECT_EQ(scenario.process_of("stays"), process);
  EXPECT_EQ(scenario.where("ends"), "");
  EXPECT_EQ(scenario.vm_record("ends")->status().state(), v1::VmStatus::STOPPED);
  EXPECT_EQ(scenario.violations(), "");
}

TEST(Scenario, WhatWasAskedOfAHostThatIsCutOffIsDoneWhenItIsBack) {
  for (const Cut way : {Cut::both, Cut::to_host, Cut::to_manager}) {
    Scenario scenario({"a", "b"});
    scenario.user().launch("web").on("b");
    scenario.settle();
    scenario.host("b").cut_off(way, 2 * kMinuteMs);
    scenario.user().stop("web");
    scenario.pass(kMinuteMs);
    scenario.settle();
    EXPECT_EQ(scenario.where("web"), "");
    EXPECT_EQ(scenario.violations(), "");
  }
}

TEST(Scenario, ALostHostsGuestIsStartedNowhereElse) {
  Scenario scenario({"a", "b", "c"});
  scenario.user().launch("web").on("b");
  scenario.settle();
  scenario.host("b").lose_power();
  scenario.host("b").cut_off(Cut::both, 10 * kMinuteMs);
  scenario.pass(2 * kMinuteMs);
  scenario.user().start("web");
  scenario.pass(2 * kMinuteMs);
  EXPECT_EQ(scenario.where("web"), "") << "its agent is back and is told nothing";
  scenario.settle();
  EXPECT_EQ(scenario.where("web"), "b");
  EXPECT_EQ(scenario.violations(), "");
}

// The records go; what is on the machine stays until it is set up anew, and it is another host then.
TEST(Scenario, AHostIsTakenLeaveOfWhileItIsCutOff) {
  Scenario scenario({"a", "b"});
  scenario.user().launch("web").on("b");
  scenario.settle();
  const std::string before = scenario.host_record("b")->meta().id();
  scenario.host("b").cut_off(Cut::both, 3 * kMinuteMs);
  scenario.pass(kMinuteMs);
  scenario.user().remove("web");
  scenario.pass(1'000);
  scenario.user().take_leave_of("b");
  scenario.pass(kMinuteMs);
  EXPECT_EQ(scenario.host_record("b"), nullptr);
  EXPECT_EQ(scenario.vm_record("web"), nullptr);
  scenario.pass(2 * kMinuteMs);
  EXPECT_EQ(scenario.where("web"), "b") << "it hears of nothing any more";
  EXPECT_FALSE(scenario.host("b").link.is_connected());
  scenario.host("b").join();
  scenario.settle();
  ASSERT_NE(scenario.host_record("b"), nullptr);
  EXPECT_NE(scenario.host_record("b")->meta().id(), before);
  EXPECT_EQ(scenario.where("web"), "");
  EXPECT_EQ(scenario.violations(), "");
}

}  // namespace
}  // namespace gantry::sim
