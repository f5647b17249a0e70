// A guest that goes to another host while it runs, as the agents of both hosts see it.
#include "host/move_fixture.h"

namespace gantry::host {
namespace {

TEST_F(CoreMoveTest, TheSourceWaitsForTheTargetAndSends) {
  assign();
  begin_move("host-2");
  assign();
  EXPECT_EQ(world.count("send"), 0);
  target_says(Phase::PREPARED);
  EXPECT_EQ(world.count("measure"), 1);
  ASSERT_EQ(world.move_requests.size(), 1U);
  EXPECT_EQ(world.move_requests[0].target.host(), "10.0.0.2");
  EXPECT_EQ(world.move_requests[0].downtime_max_ms, 100);
  EXPECT_EQ(told_move().task_id(), "task-7");
  EXPECT_EQ(told_move().phase(), Phase::SENT);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
  EXPECT_TRUE(world.lease_wishes["vm-1"].hold) << "it is still its own";
}

TEST_F(CoreMoveTest, ItGivesItsLeaseAwayOnlyAfterEverythingCame) {
  send_away();
  EXPECT_EQ(world.lease_wishes["vm-1"].heir, "");
  target_says(Phase::ARRIVED);
  const port::LeaseWish& wish = world.lease_wishes["vm-1"];
  EXPECT_FALSE(wish.hold);
  EXPECT_EQ(wish.heir, "host-2");
  EXPECT_EQ(wish.heir_epoch, 2U);
  EXPECT_EQ(wish.epoch, 1U);
  EXPECT_EQ(told_move().phase(), Phase::GIVEN);
  EXPECT_EQ(world.count("take_over"), 0);
}

TEST_F(CoreMoveTest, TheSentinelEndsItsProcessAndNoCrashIsTold) {
  send_away();
  target_says(Phase::ARRIVED);
  world.end("vm-1", v1::VmExit::CRASH);
  executor.run_for(1'000);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
  EXPECT_EQ(told_move().phase(), Phase::GIVEN);
}

TEST_F(CoreMoveTest, ItsProcessMayEndBeforeTheSentinelSaysWhy) {
  send_away();
  world.refuses_leases = true;
  target_says(Phase::ARRIVED);
  world.end("vm-1", v1::VmExit::CRASH);
  executor.run_for(1'000);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING) << "it did not crash";
  world.tell_lease("vm-1", v1::LeaseStatus::GIVEN);
  executor.run_for(1'000);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
  EXPECT_EQ(told_move().phase(), Phase::GIVEN);
}

// As when its host lost its power just after everything went, and booted it anew.
TEST_F(CoreMoveTest, AGuestThatWentOnAtTheSourceEndsTheMove) {
  assign();
  begin_move("host-2");
  target_says(Phase::ARRIVED);
  EXPECT_EQ(told_move().phase(), Phase::FAILED);
  EXPECT_EQ(told_move().problem().code(), "move_interrupted");
  EXPECT_EQ(world.lease_wishes["vm-1"].heir, "");
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
}

TEST_F(CoreMoveTest, TheLastResetIsToldWithTheGuest) {
  assign();
  vm.mutable_spec()->set_reset_id("task-5");
  assign();
  ASSERT_EQ(world.count("reset"), 1);
  begin_move("host-2");
  target_says(Phase::PREPARED);
  target_says(Phase::ARRIVED);
  // As when the manager was away when it was told first.
  vm.mutable_status()->clear_reset_id();
  assign();
  EXPECT_EQ(told_move().phase(), Phase::GIVEN);
  EXPECT_EQ(told_vm().reset_id(), "task-5");
}

TEST_F(CoreMoveTest, WhetherAGuestThatIsGoneWasGivenAwayTheLeaseTells) {
  send_away();
  target_says(Phase::ARRIVED);
  world.end("vm-1", v1::VmExit::CRASH);
  world.refuses_leases = true;
  take_status();
  vm.mutable_status()->mutable_move()->set_phase(Phase::SENT);
  core.reset();
  link.told.clear();
  start_agent();
  assign();
  EXPECT_TRUE(world.lease_wishes["vm-1"].hold) << "it is asked for";
  EXPECT_FALSE(link.told.contains("vm-1")) << "nothing is known yet";
  world.tell_lease("vm-1", v1::LeaseStatus::LOST);
  executor.run_for(100);
  EXPECT_EQ(told_move().phase(), Phase::GIVEN);
  EXPECT_EQ(world.count("start"), 1);
}

TEST_F(CoreMoveTest, ASourceThatGetsNoWordGoesOn) {
  send_away();
  executor.run_for(kSentPatienceMs);
  EXPECT_EQ(world.count("take_over"), 1);
  EXPECT_EQ(guest(), GuestState::running);
  EXPECT_EQ(told_move().phase(), Phase::FAILED);
  EXPECT_EQ(told_move().problem().code(), "move_not_answered");
  // A word that comes too late changes nothing.
  target_says(Phase::ARRIVED);
  EXPECT_EQ(world.lease_wishes["vm-1"].heir, "");
  EXPECT_EQ(world.count("send"), 1);
}

TEST_F(CoreMoveTest, AGuestThatMayHaveGoneOnIsNotGivenAway) {
  send_away();
  world.failures.emplace("take_over", Error{ErrorCode::timed_out, "QEMU does not answer"});
  executor.run_for(kSentPatienceMs);
  EXPECT_EQ(world.count("take_over"), 1);
  target_says(Phase::ARRIVED);
  executor.run_for(5'000);
  EXPECT_EQ(world.lease_wishes["vm-1"].heir, "");
  EXPECT_EQ(guest(), GuestState::running) << "it was tried again";
}

// Writes to a pool may come late.
TEST_F(CoreMoveTest, ALateHeirTakesNoGuestThatWentOn) {
  send_away();
  world.failures.emplace("take_over", Error{ErrorCode::timed_out, "QEMU does not answer"});
  executor.run_for(kSentPatienceMs);
  ASSERT_EQ(world.count("take_over"), 1);
  world.change("vm-1", [](auto& guest) { guest.state = GuestState::running; });
  world.tell_lease("vm-1", v1::LeaseStatus::LOST, "it is host-2's");
  world.end("vm-1", v1::VmExit::CRASH);
  executor.run_for(1'000);
  EXPECT_EQ(told_move().phase(), Phase::FAILED);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::CRASHED);
}

TEST_F(CoreMoveTest, ASentinelThatCannotSignOverEndsTheMoveBeforeItBegins) {
  world.sentinel_moves_nothing = true;
  send_away();
  EXPECT_EQ(world.count("send"), 0);
  EXPECT_EQ(told_move().phase(), Phase::FAILED);
  EXPECT_EQ(told_move().problem().code(), "sentinel_too_old");
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
}

TEST_F(CoreMoveTest, ASentinelThatGuardsNoArrivalEndsTheMove) {
  world.sentinel_moves_nothing = true;
  come_here();
  EXPECT_EQ(world.count("receive"), 0);
  EXPECT_EQ(told_move().phase(), Phase::FAILED);
  EXPECT_EQ(told_move().problem().code(), "sentinel_too_old");
}

TEST_F(CoreMoveTest, HowFastItChangesItsMemoryIsMeasuredWhileTheTargetMakesReady) {
  assign();
  begin_move("host-2");
  assign();
  EXPECT_EQ(world.count("measure"), 1);
  EXPECT_EQ(world.count("send"), 0);
  target_says(Phase::PREPARED);
  EXPECT_EQ(world.count("measure"), 1);
  EXPECT_EQ(world.count("send"), 1);
}

TEST_F(CoreMoveTest, ACancelWhileItIsSentStopsIt) {
  world.silent.insert("send");
  send_away();
  EXPECT_EQ(told_move().phase(), Phase::COPYING);
  move().set_cancelled(true);
  assign();
  EXPECT_EQ(world.count("stop_sending"), 1);
}

TEST_F(CoreMoveTest, HowFarItIsIsToldOnceASecond) {
  world.silent.insert("send");
  send_away();
  const auto goes_on = [this](std::uint32_t percent, Milliseconds for_ms) {
    world.move_progress({.phase = "copying memory", .percent = percent});
    executor.run_for(for_ms);
    return told_move().progress().percent();
  };
  EXPECT_EQ(goes_on(10, 500), 10U);
  EXPECT_EQ(told_move().progress().phase(), "copying memory");
  EXPECT_TRUE(told_move().progress().measurable());
  EXPECT_EQ(goes_on(20, 600), 10U);
  EXPECT_EQ(goes_on(30, 100), 30U);
}

TEST_F(CoreMoveTest, ACancelAfterItWasSentTakesItBack) {
  send_away();
  move().set_cancelled(true);
  take_status();
  assign();
  EXPECT_EQ(guest(), GuestState::running);
  EXPECT_EQ(told_move().phase(), Phase::FAILED);
  EXPECT_EQ(told_move().problem().code(), "cancelled");
}

TEST_F(CoreMoveTest, AfterTheLeaseWasGivenACancelChangesNothing) {
  send_away();
  target_says(Phase::ARRIVED);
  move().set_cancelled(true);
  assign();
  EXPECT_EQ(world.count("take_over"), 0);
  EXPECT_EQ(told_move().phase(), Phase::GIVEN);
}

TEST_F(CoreMoveTest, AStopDuringAMoveEndsTheMove) {
  world.silent.insert("send");
  send_away();
  change_vm([](v1::VmSpec& spec) { spec.set_power(v1::VmSpec::STOPPED); });
  assign();
  EXPECT_EQ(world.count("stop_sending"), 1);
}

TEST_F(CoreMoveTest, WhatCannotConvergeIsNotBegun) {
  world.dirty_bytes_per_second = 4'000'000'000;
  assign();
  begin_move("host-2").set_bytes_per_second_max(1'000'000);
  target_says(Phase::PREPARED);
  EXPECT_EQ(world.count("send"), 0);
  EXPECT_EQ(told_move().phase(), Phase::FAILED);
  EXPECT_EQ(told_move().problem().code(), "move_cannot_converge");
  EXPECT_EQ(told_move().dirty_bytes_per_second(), 4'000'000'000U);
}

TEST_F(CoreMoveTest, AFailedSendIsToldAndNotTriedAgain) {
  world.failures.emplace("send", Error{ErrorCode::unavailable, "no way"});
  send_away();
  EXPECT_EQ(told_move().phase(), Phase::FAILED);
  EXPECT_EQ(told_move().problem().summary(), "no way");
  assign();
  EXPECT_EQ(world.count("send"), 1);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
}

TEST_F(CoreMoveTest, TheTargetMakesReadyAndStartsNothing) {
  come_here();
  EXPECT_EQ(world.count("start"), 0);
  EXPECT_EQ(world.count("receive"), 1);
  ASSERT_EQ(world.definitions.size(), 1U);
  EXPECT_EQ(world.definitions[0].memory_mib, 128U) << "as it was booted, not as its next boot is to be";
  EXPECT_EQ(world.definitions[0].started_unix_ms, 77'000);
  EXPECT_EQ(world.definitions[0].guard, "/guards/vm-1");
  EXPECT_EQ(told_move().phase(), Phase::PREPARED);
  EXPECT_EQ(told_move().address().host(), "10.0.0.1");
  const port::LeaseWish& wish = world.lease_wishes["vm-1"];
  EXPECT_TRUE(wish.incoming);
  EXPECT_FALSE(wish.hold);
  EXPECT_EQ(wish.epoch, 2U);
}

TEST_F(CoreMoveTest, TheTargetWaitsForNothingWithoutItsNics) {
  world.failures.emplace("detach", Error{.code = ErrorCode::unavailable, .summary = "busy"});
  come_here();
  executor.run_for(60'000);
  ASSERT_EQ(world.count("receive"), 1);
  EXPECT_EQ(world.definitions.back().nics.size(), 1U);
}

TEST_F(CoreMoveTest, TheTargetLetsItGoOnWhenItIsItsHostAndHasTheLease) {
  come_here();
  everything_comes();
  EXPECT_EQ(told_move().phase(), Phase::ARRIVED);
  EXPECT_EQ(world.count("take_over"), 0);
  world.refuses_leases = true;
  placed_here();
  EXPECT_EQ(world.count("take_over"), 0);
  EXPECT_TRUE(world.lease_wishes["vm-1"].was_given);
  world.tell_lease("vm-1", v1::LeaseStatus::HELD);
  executor.run_for(100);
  EXPECT_EQ(guest(), GuestState::running);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
  EXPECT_EQ(told_vm().boot_id(), "task-1");
  EXPECT_EQ(told_move().phase(), Phase::ARRIVED);
  EXPECT_GT(told_move().downtime_ms(), 0U);
  executor.run_for(1'000);
  EXPECT_FALSE(world.lease_wishes["vm-1"].was_given) << "from now on it is like any other";
}

TEST_F(CoreMoveTest, AProcessThatEndsAtTheTargetIsTold) {
  come_here();
  world.end("vm-1", v1::VmExit::CRASH);
  executor.run_for(1'000);
  EXPECT_EQ(told_move().phase(), Phase::FAILED);
  EXPECT_EQ(told_move().problem().code(), "move_target_ended");
  EXPECT_EQ(world.count("receive"), 1);
}

TEST_F(CoreMoveTest, AnAgentThatHasJustBegunKnowsItsAddressBeforeAGuestComes) {
  core.reset();
  world.silent.insert("probe");
  start_agent();
  come_here();
  EXPECT_EQ(world.count("receive"), 0);
  EXPECT_EQ(told_move().phase(), Phase::NONE);
  world.silent.clear();
  executor.run_for(120'000);
  EXPECT_EQ(told_move().phase(), Phase::PREPARED);
}

TEST_F(CoreMoveTest, AResetThatFailedAtTheSourceKeepsNobodyFromComing) {
  vm.mutable_spec()->set_reset_id("task-5");
  vm.mutable_status()->set_failed_operation_id("task-5");
  vm.mutable_status()->mutable_problem()->set_summary("could not be reset");
  come_here();
  EXPECT_EQ(told_move().phase(), Phase::PREPARED);
  everything_comes();
  placed_here();
  EXPECT_EQ(guest(), GuestState::running);
  EXPECT_EQ(world.count("reset"), 0) << "that is over";
}

TEST_F(CoreMoveTest, AGuestThatWasLostAfterItWasGivenIsNotBootedInSilence) {
  come_here();
  everything_comes();
  world.change("vm-1", [](auto& guest) { guest.state = GuestState::absent; });
  vm.mutable_status()->set_host_id("host-2");
  placed_here();
  executor.run_for(5'000);
  EXPECT_EQ(world.count("start"), 0);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::FAILED);
  EXPECT_EQ(told_vm().problem().code(), "guest_lost_in_move");
  EXPECT_EQ(told_move().phase(), Phase::FAILED);
  // To be started is another boot.
  take_status();
  vm.mutable_spec()->set_boot_id("task-9");
  keeper = "host-1";
  assign(5'000);
  EXPECT_EQ(world.count("start"), 1);
}

// As with the power of the machine.
TEST_F(CoreMoveTest, AGuestThatWasLostUnseenIsBootedAndTheMoveHasFailed) {
  come_here();
  core.reset();
  world.guests.clear();
  keeper = "host-1";
  vm.mutable_status()->set_host_id("host-2");
  start_agent();
  placed_here();
  executor.run_for(5'000);
  EXPECT_EQ(world.count("start"), 1);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
  EXPECT_EQ(told_move().phase(), Phase::FAILED);
  EXPECT_EQ(told_move().problem().code(), "guest_lost_in_move");
}

TEST_F(CoreMoveTest, AGuestThatCannotBeTakenOverCanBeEnded) {
  come_here();
  everything_comes();
  world.refuses_leases = true;
  placed_here();
  change_vm([](v1::VmSpec& spec) {
    spec.set_power(v1::VmSpec::STOPPED);
    spec.set_force_stop_id("task-8");
  });
  assign();
  EXPECT_EQ(world.count("kill"), 1);
}

TEST_F(CoreMoveTest, WhatLeavesIsTakenAwayAndToldOnce) {
  come_here();
  leave();
  assign(5'000);
  EXPECT_FALSE(world.guests.contains("vm-1"));
  EXPECT_EQ(world.count("detach"), 2) << "before it came, and now";
  EXPECT_EQ(world.count("delete_seed"), 1);
  EXPECT_FALSE(world.lease_wishes["vm-1"].incoming);
  EXPECT_EQ(world.lease_wishes["vm-1"].epoch, 3U) << "an older one would not be heard";
  EXPECT_EQ(world.count("remove_lease"), 0) << "it is the other host's";
  EXPECT_EQ(told_absent(), 3U);
  // Told again when asked again, without doing it again.
  link.told.clear();
  --revision;
  assign();
  EXPECT_EQ(told_absent(), 3U);
  EXPECT_EQ(world.count("delete_seed"), 1);
}

TEST_F(CoreMoveTest, WhatWasDeletedHereBeforeItCountedAsLeftIsToldAsLeft) {
  assign();
  vm.mutable_meta()->mutable_deletion()->set_task_id("task-9");
  assign(5'000);
  ASSERT_TRUE(link.told["vm-1"].absent());
  vm.mutable_placement()->set_host_id("host-2");
  leave();
  assign();
  EXPECT_EQ(told_absent(), 3U);
}

TEST_F(CoreMoveTest, ALeaseThatIsOfNoUseAnyMoreGoesToo) {
  come_here();
  leave().set_lease_pool("pool-1");
  world.failures.emplace("remove_lease", Error{.code = ErrorCode::unavailable, .summary = "the pool is away"});
  assign(100);
  EXPECT_EQ(told_absent(), 0U) << "something is left";
  assign(10'000);
  EXPECT_EQ(world.count("remove_lease"), 2);
  EXPECT_EQ(told_absent(), 3U);
}

TEST_F(CoreMoveTest, WhatATpmKeptIsTakenAwayWithTheLeaseAlone) {
  vm.mutable_spec()->set_tpm(true);
  come_here();
  leave();
  assign(5'000);
  EXPECT_EQ(world.count("delete_tpm"), 0) << "the guest uses it on the other host";
  EXPECT_EQ(told_absent(), 3U);
}

TEST_F(CoreMoveTest, WhatATpmKeptHereAloneIsTakenAway) {
  vm.mutable_spec()->set_tpm(true);
  come_here();
  leave().set_lease_pool("pool-1");
  assign(5'000);
  EXPECT_EQ(world.deleted_tpms.at("vm-1"), "/pool");
  EXPECT_EQ(told_absent(), 3U);
}

TEST_F(CoreMoveTest, AGuestMayComeAgainWhileWhatItLeftIsTakenAway) {
  vm.mutable_spec()->set_tpm(true);
  come_here();
  leave().set_lease_pool("pool-1");
  assign(0);
  while (world.count("remove_lease") == 0) executor.run_one();
  vm.mutable_placement()->clear_left_hosts();
  v1::VmMove& again = begin_move("host-1");
  again.set_task_id("task-8");
  again.set_epoch(4);
  assign(5'000);
  EXPECT_EQ(world.lease_wishes["vm-1"].epoch, 4U);
  EXPECT_EQ(world.count("receive"), 2);
  leave().set_epoch(5);
  vm.mutable_placement()->mutable_left_hosts(0)->set_lease_pool("pool-1");
  assign(5'000);
  EXPECT_EQ(world.count("delete_tpm"), 2);
  EXPECT_EQ(world.count("remove_lease"), 2);
  EXPECT_EQ(told_absent(), 5U);
}

TEST_F(CoreMoveTest, OnlyTheDisksThatGoAreSentAndAwaited) {
  vm.mutable_spec()->add_disks()->set_volume("vol-1");
  vm.mutable_spec()->mutable_disks(0)->set_volume("vol-0");
  v1::VmMove move;
  EXPECT_EQ(copied_disks(vm), std::vector<std::size_t>());
  move.add_disks()->set_volume("vol-1");
  move.mutable_disks(0)->set_copy("vol-2");
  *vm.mutable_placement()->mutable_move() = move;
  EXPECT_EQ(copied_disks(vm), std::vector<std::size_t>({1}));
  vm.mutable_spec()->mutable_disks(1)->set_volume("vol-2");
  EXPECT_EQ(copied_disks(vm), std::vector<std::size_t>({1})) << "the target has the copy in its place";
}

TEST_F(CoreMoveTest, TheSourceSendsADiskThatGoesAndCountsIt) {
  volume.clear_spec();
  volume.mutable_spec()->set_pool("pool-1");
  volume.mutable_spec()->set_capacity_bytes(22ULL << 30U);
  world.allocation_bytes = 22'000'000'000;
  assign();
  v1::CopiedDisk& disk = *begin_move("host-2").add_disks();
  disk.set_volume("vol-1");
  disk.set_copy("vol-2");
  target_says(Phase::PREPARED);
  ASSERT_EQ(world.move_requests.size(), 1U);
  EXPECT_EQ(world.move_requests[0].copied_disks, std::vector<std::size_t>({0}));
  EXPECT_GE(told_move().total_ms_predicted(), 20'000U) << "at 1.1 GB a second";
}

TEST_F(CoreMoveTest, TheTargetAwaitsWhatIsCopiedToIt) {
  v1::CopiedDisk& disk = *begin_move("host-1").add_disks();
  disk.set_volume("vol-0");
  disk.set_copy("vol-1");
  come_here();
  EXPECT_EQ(world.count("receive"), 1);
  EXPECT_EQ(world.awaited.copied_disks, std::vector<std::size_t>({0}));
}

TEST_F(CoreMoveTest, NoDiskIsDeletedUnderAGuestThatLeaves) {
  come_here();
  world.failures.emplace("kill", Error{.code = ErrorCode::unavailable, .summary = "it does not end"});
  leave();
  vm.mutable_spec()->mutable_disks(0)->set_volume("vol-0");
  volume.mutable_meta()->mutable_deletion()->set_task_id("task-7");
  keeper = "host-1";
  assign(100);
  EXPECT_EQ(world.count("kill"), 1);
  EXPECT_EQ(world.count("delete_volume"), 0);
  executor.run_for(20'000);
  EXPECT_EQ(world.count("delete_volume"), 1);
}

TEST_F(CoreMoveTest, WhatAProcessThatOnlyWaitedLeftIsTakenAway) {
  come_here();
  // So says the hypervisor when that process ends; its files are there.
  world.change("vm-1", [](auto& guest) { guest.state = GuestState::absent; });
  executor.run_for(1'000);
  EXPECT_EQ(told_move().phase(), Phase::FAILED);
  EXPECT_EQ(world.count("forget"), 0);
  leave();
  assign(5'000);
  EXPECT_EQ(world.count("forget"), 1);
  EXPECT_EQ(told_absent(), 3U);
}

TEST_F(CoreMoveTest, ALateWordOfAnEarlierMoveBringsNothingBack) {
  come_here();
  const v1::Vm before = vm;
  leave();
  assign(5'000);
  vm = before;
  revision = before.meta().revision() - 1;
  assign(5'000);
  EXPECT_EQ(world.count("receive"), 1);
}

}  // namespace
}  // namespace gantry::host
