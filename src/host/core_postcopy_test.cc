// A guest that goes on at the target of its move before all of its memory is there, as the agents of both hosts see it.
#include "host/move_fixture.h"

namespace gantry::host {
namespace {

TEST_F(CoreMoveTest, BothEndsAreToldOnWhichTermsItGoes) {
  assign();
  begin_move("host-2").set_connections(4);
  target_says(Phase::PREPARED);
  ASSERT_EQ(world.move_requests.size(), 1U);
  EXPECT_EQ(world.move_requests[0].connections, 4U);
  EXPECT_FALSE(world.move_requests[0].postcopy);
}

TEST_F(CoreMoveTest, ByPostcopyItIsSentHoweverFastItChangesItsMemory) {
  world.dirty_bytes_per_second = 4'000'000'000;
  assign();
  begin_move("host-2").set_bytes_per_second_max(100'000'000);
  move().set_postcopy(true);
  target_says(Phase::PREPARED);
  ASSERT_EQ(world.move_requests.size(), 1U);
  EXPECT_TRUE(world.move_requests[0].postcopy);
  EXPECT_LT(told_move().downtime_ms_predicted(), 100U);
  EXPECT_GT(told_move().total_ms_predicted(), 2'600U);
}

TEST_F(CoreMoveTest, ASourceServesItsMemoryUntilAllOfItIsThere) {
  assign();
  begin_move("host-2").set_postcopy(true);
  target_says(Phase::PREPARED);
  world.change("vm-1", [](auto& guest) { guest.fetching = true; });
  executor.run_for(100);
  EXPECT_TRUE(world.lease_wishes["vm-1"].hold) << "it is its own yet";
  target_says(Phase::ARRIVED);
  EXPECT_EQ(world.lease_wishes["vm-1"].heir, "host-2");
  EXPECT_TRUE(world.lease_wishes["vm-1"].serves);
  EXPECT_EQ(told_move().phase(), Phase::GIVEN);
  vm.mutable_placement()->set_host_id("host-2");
  vm.mutable_placement()->set_epoch(2);
  leave();
  assign(30'000);
  EXPECT_EQ(world.count("kill"), 0);
  EXPECT_TRUE(world.lease_wishes["vm-1"].serves);
  EXPECT_EQ(told_absent(), 0U);
  world.change("vm-1", [](auto& guest) { guest.fetching = false; });
  executor.run_for(5'000);
  EXPECT_EQ(world.count("kill"), 1);
  EXPECT_EQ(told_absent(), 3U);
}

TEST_F(CoreMoveTest, ANewAgentLetsTheSentinelBeUntilItKnowsWhetherItsProcessServes) {
  send_away();
  world.change("vm-1", [](auto& guest) { guest.fetching = true; });
  target_says(Phase::ARRIVED);
  vm.mutable_placement()->set_host_id("host-2");
  vm.mutable_placement()->set_epoch(2);
  leave();
  assign();
  core.reset();
  world.change("vm-1", [](auto& guest) { guest.state = GuestState::unknown; });
  start_agent();
  assign();
  EXPECT_FALSE(world.lease_wishes.contains("vm-1")) << "what it was told before holds";
  world.change("vm-1", [](auto& guest) { guest.state = GuestState::sent; });
  executor.run_for(1'000);
  EXPECT_TRUE(world.lease_wishes["vm-1"].serves);
  EXPECT_EQ(world.count("kill"), 0);
}

TEST_F(CoreMoveTest, ANewAgentLeavesAServerWhoseLeaseWasGivenBeforeThePlacementChanged) {
  assign();
  begin_move("host-2").set_postcopy(true);
  target_says(Phase::PREPARED);
  world.change("vm-1", [](auto& guest) { guest.fetching = true; });
  target_says(Phase::ARRIVED);
  ASSERT_TRUE(world.lease_wishes["vm-1"].serves);
  world.refuses_leases = true;
  take_status();
  core.reset();
  start_agent();
  assign();
  EXPECT_TRUE(world.lease_wishes["vm-1"].serves) << "the sentinel would end it";
  world.tell_lease("vm-1", v1::LeaseStatus::LOST);
  executor.run_for(60'000);
  EXPECT_EQ(told_move().phase(), Phase::GIVEN);
  EXPECT_EQ(world.count("kill"), 0);
  EXPECT_EQ(world.count("take_over"), 0);
}

TEST_F(CoreMoveTest, TheTargetTellsUntilItHasFetchedAll) {
  come_here();
  world.change("vm-1", [](auto& guest) { guest.fetching = true; });
  everything_comes();
  EXPECT_FALSE(told_move().fetching()) << "it does not go on yet";
  placed_here();
  EXPECT_EQ(guest(), GuestState::running);
  EXPECT_EQ(told_move().phase(), Phase::ARRIVED);
  EXPECT_TRUE(told_move().fetching());
  const std::uint32_t until_it_went_on_ms = told_move().total_ms();
  executor.run_for(7'000);
  world.change("vm-1", [](auto& guest) { guest.fetching = false; });
  executor.run_for(1'000);
  EXPECT_FALSE(told_move().fetching());
  EXPECT_GE(told_move().total_ms(), until_it_went_on_ms + 7'000);
}

TEST_F(CoreMoveTest, AGuestWhoseMemoryDidNotComeIsLostAndNotBootedInSilence) {
  come_here();
  world.change("vm-1", [](auto& guest) { guest.fetching = true; });
  everything_comes();
  placed_here();
  ASSERT_TRUE(told_move().fetching());
  world.end("vm-1", v1::VmExit::CRASH);
  world.change("vm-1", [](auto& guest) { guest.fetching = false; });
  executor.run_for(60'000);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::CRASHED);
  EXPECT_EQ(told_vm().problem().code(), "guest_lost_in_move");
  EXPECT_EQ(world.count("start"), 0);
  // The next agent says the same.
  take_status();
  core.reset();
  start_agent();
  assign();
  EXPECT_EQ(told_vm().problem().code(), "guest_lost_in_move");
  take_status();
  keeper = "host-1";
  vm.mutable_spec()->set_boot_id("task-9");
  assign(10'000);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
  EXPECT_FALSE(told_move().fetching());
}

TEST_F(CoreMoveTest, AGuestThatWasLostInAMoveIsNoOtherAfterTheMoveIsOver) {
  assign();
  begin_move("host-2").set_postcopy(true);
  target_says(Phase::PREPARED);
  world.change("vm-1", [](auto& guest) { guest.fetching = true; });
  executor.run_for(100);
  world.end("vm-1", v1::VmExit::CRASH);
  world.change("vm-1", [](auto& guest) { guest.fetching = false; });
  executor.run_for(1'000);
  EXPECT_EQ(told_move().phase(), Phase::FAILED);
  const auto expect_lost = [this] {
    EXPECT_EQ(told_vm().state(), v1::VmStatus::CRASHED);
    EXPECT_EQ(told_vm().problem().code(), "guest_lost_in_move");
    EXPECT_EQ(world.count("start"), 1);
  };
  expect_lost();
  take_status();
  vm.mutable_placement()->clear_move();
  assign();
  expect_lost();
  take_status();
  core.reset();
  start_agent();
  assign();
  expect_lost();
  // Another end of another boot.
  take_status();
  vm.mutable_spec()->set_boot_id("task-9");
  assign(10'000);
  ASSERT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
  world.end("vm-1", v1::VmExit::CRASH);
  executor.run_for(1'000);
  EXPECT_EQ(told_vm().problem().code(), "guest_crashed");
}

TEST_F(CoreMoveTest, ASentinelThatWouldEndItsServerEndsAPostcopyBeforeItBegins) {
  world.sentinel_serves_nothing = true;
  assign();
  begin_move("host-2").set_postcopy(true);
  target_says(Phase::PREPARED);
  EXPECT_EQ(world.count("send"), 0);
  EXPECT_EQ(told_move().problem().code(), "sentinel_too_old");
}

}  // namespace
}  // namespace gantry::host
