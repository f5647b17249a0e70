// A guest as the agent drives it, from its start to its deletion, and starts that fail.
#include "host/test_fixture.h"

namespace gantry::host {
namespace {

class CoreVmTest : public CoreWithVmTest {};

TEST_F(CoreVmTest, MakesWhatAGuestNeedsAndStartsIt) {
  assign_and_run();
  EXPECT_EQ(guest(), GuestState::running);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
  EXPECT_EQ(told_vm().boot_id(), "task-1");
  EXPECT_EQ(told_vm().observed_generation(), 1U);
  EXPECT_EQ(told_volume().state(), v1::VolumeStatus::READY);
  EXPECT_EQ(told_image().state(), v1::ImageStatus::READY);
  EXPECT_EQ(link.told["net-1"].network().state(), v1::NetworkStatus::READY);
  EXPECT_EQ(told_pool().state(), v1::PoolStatus::READY);
  ASSERT_EQ(world.definitions.size(), 1U);
  EXPECT_EQ(world.definitions[0].disks[0].path, "/pool/vol-1");
  EXPECT_EQ(world.definitions[0].nics[0].tap, "tap0");
}

TEST_F(CoreVmTest, SaysWhatAVmWaitsFor) {
  volume.Clear();
  assign_and_run();
  EXPECT_EQ(told_vm().state(), v1::VmStatus::PROVISIONING);
  EXPECT_EQ(told_vm().waiting_for(), "volume vol-1");
  EXPECT_EQ(world.count("start"), 0);
}

// What an earlier boot may have left is taken away before a boot; that is not what anybody waits for.
TEST_F(CoreVmTest, NeverSaysThatItTakesAwayWhatItSetsUp) {
  world.silent = {"detach"};
  assign_and_run();
  EXPECT_EQ(world.count("detach"), 1);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::PROVISIONING);
  EXPECT_EQ(told_vm().waiting_for(), "its network interfaces to be set up");
  vm.mutable_meta()->mutable_deletion()->set_task_id("task-9");
  vm.mutable_meta()->set_generation(2);
  assign_and_run();
  EXPECT_EQ(told_vm().waiting_for(), "its network interfaces to be removed");
}

TEST_F(CoreVmTest, StopsByAskingTheGuest) {
  assign_and_run();
  change_vm([](v1::VmSpec& spec) { spec.set_power(v1::VmSpec::STOPPED); });
  executor.run_for(1'000);
  EXPECT_EQ(guest(), GuestState::ended);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::STOPPED);
  EXPECT_EQ(told_vm().exit().reason(), v1::VmExit::GUEST_SHUTDOWN);
  EXPECT_EQ(world.count("kill"), 0);
  EXPECT_GE(world.count("detach"), 1);
}

TEST_F(CoreVmTest, ForcesAGuestThatDoesNotPowerOff) {
  world.obeys_power_button = false;
  assign_and_run();
  change_vm([](v1::VmSpec& spec) { spec.set_power(v1::VmSpec::STOPPED); });
  executor.run_for(4'900);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::STOPPING);
  EXPECT_EQ(told_vm().waiting_for(), "the guest to power off");
  EXPECT_EQ(world.count("kill"), 0);
  executor.run_for(500);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::STOPPED);
  EXPECT_EQ(told_vm().exit().reason(), v1::VmExit::FORCED);
}

TEST_F(CoreVmTest, AStopMayHaveATimeoutOfItsOwn) {
  world.obeys_power_button = false;
  assign_and_run();
  change_vm([](v1::VmSpec& spec) {
    spec.set_power(v1::VmSpec::STOPPED);
    spec.set_stop_once_timeout_seconds(2);
  });
  executor.run_for(1'900);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::STOPPING);
  executor.run_for(500);
  EXPECT_EQ(told_vm().exit().reason(), v1::VmExit::FORCED);
}

TEST_F(CoreVmTest, AForcedStopDoesNotAsk) {
  assign_and_run();
  change_vm([](v1::VmSpec& spec) {
    spec.set_power(v1::VmSpec::STOPPED);
    spec.set_force_stop_id("task-2");
  });
  executor.run_for(1'000);
  EXPECT_EQ(world.count("power_down"), 0);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::STOPPED);
}

TEST_F(CoreVmTest, AForcedStopCutsAStartShort) {
  world.silent.insert("start");
  assign_and_run();
  EXPECT_EQ(told_vm().state(), v1::VmStatus::STARTING);
  change_vm([](v1::VmSpec& spec) {
    spec.set_power(v1::VmSpec::STOPPED);
    spec.set_force_stop_id("task-2");
  });
  executor.run_for(10);
  EXPECT_EQ(guest(), GuestState::ended);
}

TEST_F(CoreVmTest, ARestartIsAnotherBoot) {
  assign_and_run();
  change_vm([](v1::VmSpec& spec) { spec.set_boot_id("task-2"); });
  executor.run_for(1'000);
  EXPECT_EQ(guest(), GuestState::running);
  EXPECT_EQ(told_vm().boot_id(), "task-2");
  EXPECT_EQ(world.count("power_down"), 1);
  EXPECT_EQ(world.count("start"), 2);
}

TEST_F(CoreVmTest, PausesAndResumes) {
  assign_and_run();
  change_vm([](v1::VmSpec& spec) { spec.set_power(v1::VmSpec::PAUSED); });
  executor.run_for(1'000);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::PAUSED);
  change_vm([](v1::VmSpec& spec) { spec.set_power(v1::VmSpec::RUNNING); });
  executor.run_for(1'000);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
  EXPECT_EQ(world.count("start"), 1);
}

TEST_F(CoreVmTest, ResetsOnceForEachOperation) {
  assign_and_run();
  change_vm([](v1::VmSpec& spec) { spec.set_reset_id("task-2"); });
  executor.run_for(1'000);
  crash_and_return();
  executor.run_for(1'000);
  EXPECT_EQ(world.count("reset"), 1);
  EXPECT_EQ(told_vm().reset_id(), "task-2");
  change_vm([](v1::VmSpec& spec) { spec.set_reset_id("task-3"); });
  executor.run_for(1'000);
  EXPECT_EQ(world.count("reset"), 2);
}

TEST_F(CoreVmTest, AResetThatCannotBeDoneEndsItsOperationAndTheGuestRunsOn) {
  assign_and_run();
  world.failures.emplace("reset", Error{.code = ErrorCode::unsupported, .summary = "no reset"});
  change_vm([](v1::VmSpec& spec) { spec.set_reset_id("task-2"); });
  executor.run_for(60'000);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
  EXPECT_EQ(told_vm().failed_operation_id(), "task-2");
  EXPECT_EQ(world.count("reset"), 1);
  crash_and_return();
  executor.run_for(60'000);
  EXPECT_EQ(world.count("reset"), 1);
  EXPECT_EQ(told_vm().failed_operation_id(), "task-2");
}

TEST_F(CoreVmTest, ABootThatEndedIsNotBegunAgain) {
  assign_and_run();
  world.end("vm-1", v1::VmExit::CRASH);
  executor.run_for(1'000);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::CRASHED);
  EXPECT_EQ(told_vm().problem().code(), "guest_crashed");
  crash_and_return();
  executor.run_for(60'000);
  EXPECT_EQ(world.count("start"), 1);
  change_vm([](v1::VmSpec& spec) { spec.set_boot_id("task-2"); });
  executor.run_for(1'000);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
}

TEST_F(CoreVmTest, AFailedStartEndsItsOperationAndLeavesNothingAttached) {
  world.failures.emplace("start", Error{.code = ErrorCode::internal, .summary = "no such machine"});
  assign_and_run(60'000);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::FAILED);
  EXPECT_EQ(told_vm().failed_operation_id(), "task-1");
  EXPECT_EQ(told_vm().problem().summary(), "no such machine");
  EXPECT_EQ(world.count("start"), 1);
  EXPECT_GE(world.count("detach"), 2);
}

TEST_F(CoreVmTest, WhatFailsForNowIsTriedAgainAndShown) {
  for (int i = 0; i < 2; ++i) {
    world.failures.emplace("attach", Error{.code = ErrorCode::unavailable, .summary = "busy"});
  }
  assign_and_run(500);
  EXPECT_EQ(told_vm().problem().summary(), "busy");
  EXPECT_EQ(told_vm().failed_operation_id(), "");
  executor.run_for(10'000);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
  EXPECT_FALSE(told_vm().has_problem());
}

TEST_F(CoreVmTest, AConflictThatDoesNotHealEndsTheBootAtOnce) {
  world.failures.emplace("attach",
                         Error{.code = ErrorCode::conflict, .summary = "cannot forward", .reason = "port_in_use"});
  assign_and_run();
  EXPECT_EQ(told_vm().state(), v1::VmStatus::FAILED);
  EXPECT_EQ(told_vm().failed_operation_id(), "task-1");
  EXPECT_EQ(told_vm().problem().code(), "port_in_use");
}

TEST_F(CoreVmTest, ANetworkWhoseSegmentIsTakenFails) {
  world.failures.emplace("ensure_network",
                         Error{.code = ErrorCode::conflict, .summary = "taken", .reason = "subnet_in_use"});
  assign_and_run();
  EXPECT_EQ(link.told["net-1"].network().state(), v1::NetworkStatus::FAILED);
  EXPECT_EQ(told_vm().failed_operation_id(), "task-1");
}

TEST_F(CoreVmTest, WhatNeverHealsIsGivenUpAfterSomeTries) {
  for (int i = 0; i < 100; ++i) {
    world.failures.emplace("attach", Error{.code = ErrorCode::unavailable, .summary = "busy"});
  }
  assign_and_run(30'000);
  EXPECT_EQ(told_vm().failed_operation_id(), "");
  EXPECT_EQ(told_vm().problem().summary(), "busy");
  executor.run_for(300'000);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::FAILED);
  EXPECT_EQ(told_vm().failed_operation_id(), "task-1");
  EXPECT_EQ(world.count("attach"), 8);
}

TEST_F(CoreVmTest, AGuestThatAFullDiskHoldsGoesOnOnceThereIsRoom) {
  assign_and_run();
  world.fill_disk("vm-1");
  executor.run_for(10'000);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::PAUSED);
  EXPECT_EQ(told_vm().problem().code(), "disk_full");
  EXPECT_EQ(told_vm().waiting_for(), "");
  EXPECT_EQ(world.count("resume"), 0);
  executor.run_for(51'000);
  EXPECT_EQ(world.count("resume"), 4);
  world.disk_is_full = false;
  executor.run_for(20'000);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
  EXPECT_FALSE(told_vm().has_problem());
}

TEST_F(CoreVmTest, AGuestThatAFullDiskHoldsIsResumedAtOnceWhenAsked) {
  assign_and_run();
  world.fill_disk("vm-1");
  executor.run_for(1'000);
  world.disk_is_full = false;
  change_vm([](v1::VmSpec&) {});
  executor.run_for(100);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
}

TEST_F(CoreVmTest, AGuestThatAFullDiskHoldsIsStoppedInTime) {
  world.obeys_power_button = false;
  assign_and_run();
  world.fill_disk("vm-1");
  executor.run_for(1'000);
  change_vm([](v1::VmSpec& spec) { spec.set_power(v1::VmSpec::STOPPED); });
  executor.run_for(5'500);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::STOPPED);
  EXPECT_LE(world.count("resume"), 1);
}

TEST_F(CoreVmTest, ATpmKeepsWhatItMustBesideTheLeaseAndGoesWithTheVm) {
  change_vm([](v1::VmSpec& spec) { spec.set_tpm(true); });
  assign_and_run();
  EXPECT_EQ(world.definitions.at(0).tpm_directory, "/pool/tpm/vm-1");
  world.failures.emplace("delete_tpm", Error{.code = ErrorCode::unavailable, .summary = "the pool is away"});
  world.calls.clear();
  delete_both();
  assign_and_run();
  executor.run_for(10'000);
  EXPECT_EQ(world.count("delete_tpm"), 2) << "tried again";
  EXPECT_EQ(world.deleted_tpms.at("vm-1"), "/pool");
  EXPECT_EQ(world.count("remove_lease"), 1);
  EXPECT_TRUE(link.told["vm-1"].absent());
}

TEST_F(CoreVmTest, DeletesAGuestWhole) {
  assign_and_run();
  world.calls.clear();
  delete_both();
  assign_and_run();
  EXPECT_TRUE(world.guests.empty());
  EXPECT_TRUE(world.volumes.empty());
  EXPECT_TRUE(link.told["vm-1"].absent());
  EXPECT_TRUE(link.told["vol-1"].absent());
  std::erase(world.calls, "inspect_pool");
  EXPECT_EQ(world.calls,
            (std::vector<std::string>{"kill", "delete_volume", "detach", "delete_seed", "forget", "remove_lease"}));
}

}  // namespace
}  // namespace gantry::host
