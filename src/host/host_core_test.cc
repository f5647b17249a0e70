#include <gtest/gtest.h>

#include "host/fake_ports.h"

namespace gantry::host {
namespace {

using GuestState = port::GuestObservation::State;

// One VM with a disk made from an image and one NIC, on a host whose agent can be killed.
class HostCoreTest : public ::testing::Test {
 protected:
  HostCoreTest() : world(executor) {
    pool.mutable_meta()->set_id("pool-1");
    pool.mutable_spec()->set_host_id("host-1");
    pool.mutable_spec()->set_path("/pool");
    network.mutable_meta()->set_id("net-1");
    image.mutable_meta()->set_id("img-1");
    image.mutable_spec()->set_pool("pool-1");
    volume.mutable_meta()->set_id("vol-1");
    volume.mutable_meta()->set_generation(1);
    volume.mutable_spec()->set_pool("pool-1");
    volume.mutable_spec()->set_image("img-1");
    volume.mutable_spec()->set_capacity_bytes(100);
    vm.mutable_meta()->set_id("vm-1");
    vm.mutable_meta()->set_name("web");
    vm.mutable_meta()->set_generation(1);
    vm.mutable_placement()->set_host_id("host-1");
    vm.mutable_placement()->set_epoch(1);
    vm.mutable_spec()->set_boot_id("task-1");
    vm.mutable_spec()->set_image("img-1");
    vm.mutable_spec()->set_stop_timeout_seconds(5);
    vm.mutable_spec()->add_disks()->set_volume("vol-1");
    vm.mutable_spec()->add_nics()->set_network("net-1");
    start_agent();
  }

  void start_agent() {
    core = std::make_unique<HostCore>(Ports{.executor = executor,
                                            .link = link,
                                            .hypervisor = world,
                                            .facts = world,
                                            .storage = world,
                                            .network = world},
                                      Options{.host_id = "host-1", .host_name = "alpha", .incarnation = ++incarnation});
    core->start();
    link.connection(true);
  }
  void assign_all() {
    v1::ToHost message;
    *message.add_assignments()->mutable_vm() = vm;
    if (with_volume) *message.add_assignments()->mutable_volume() = volume;
    *message.add_assignments()->mutable_image() = image;
    *message.add_assignments()->mutable_network() = network;
    *message.add_assignments()->mutable_pool() = pool;
    message.set_complete(true);
    link.receive(message);
  }
  void assign_and_run(Milliseconds for_ms = 1'000) {
    assign_all();
    executor.run_for(for_ms);
  }
  // A change of the VM as the manager makes it, and what the host told last is in the record.
  void change_vm(const std::function<void(v1::VmSpec&)>& edit) {
    take_status();
    edit(*vm.mutable_spec());
    vm.mutable_meta()->set_generation(vm.meta().generation() + 1);
    assign_all();
  }
  void take_status() {
    if (link.told.contains("vm-1")) *vm.mutable_status() = link.told["vm-1"].vm();
    if (link.told.contains("vol-1")) *volume.mutable_status() = link.told["vol-1"].volume();
    if (link.told.contains("img-1")) *image.mutable_status() = link.told["img-1"].image();
  }
  void crash_and_return() {
    take_status();
    core.reset();
    start_agent();
    assign_all();
  }
  v1::VmStatus told() { return link.told["vm-1"].vm(); }
  GuestState guest() { return world.guests["vm-1"].state; }

  FakeExecutor executor;
  FakeWorld world;
  FakeLink link;
  v1::Pool pool;
  v1::Network network;
  v1::Image image;
  v1::Volume volume;
  v1::Vm vm;
  bool with_volume = true;
  std::uint64_t incarnation = 0;
  std::unique_ptr<HostCore> core;
};

TEST_F(HostCoreTest, MakesWhatAGuestNeedsAndStartsIt) {
  assign_and_run();
  EXPECT_EQ(guest(), GuestState::running);
  EXPECT_EQ(told().state(), v1::VmStatus::RUNNING);
  EXPECT_EQ(told().boot_id(), "task-1");
  EXPECT_EQ(told().observed_generation(), 1U);
  EXPECT_EQ(link.told["vol-1"].volume().state(), v1::VolumeStatus::READY);
  EXPECT_EQ(link.told["img-1"].image().state(), v1::ImageStatus::READY);
  EXPECT_EQ(link.told["net-1"].network().state(), v1::NetworkStatus::READY);
  EXPECT_EQ(link.told["pool-1"].pool().state(), v1::PoolStatus::READY);
  ASSERT_EQ(world.definitions.size(), 1U);
  EXPECT_EQ(world.definitions[0].disks[0].path, "/pool/vol-1");
  EXPECT_EQ(world.definitions[0].nics[0].tap, "tap0");
}

TEST_F(HostCoreTest, SaysWhatAVmWaitsFor) {
  with_volume = false;
  assign_and_run();
  EXPECT_EQ(told().state(), v1::VmStatus::PROVISIONING);
  EXPECT_EQ(told().waiting_for(), "volume vol-1");
  EXPECT_EQ(world.count("start"), 0);
}

// What an earlier boot may have left is taken away before a boot; that is not what anybody waits for.
TEST_F(HostCoreTest, NeverSaysThatItTakesAwayWhatItSetsUp) {
  world.silent = {"detach"};
  assign_and_run();
  EXPECT_EQ(world.count("detach"), 1);
  EXPECT_EQ(told().state(), v1::VmStatus::PROVISIONING);
  EXPECT_EQ(told().waiting_for(), "its network interfaces to be set up");
  vm.mutable_meta()->mutable_deletion()->set_task_id("task-9");
  vm.mutable_meta()->set_generation(2);
  assign_and_run();
  EXPECT_EQ(told().waiting_for(), "its network interfaces to be removed");
}

TEST_F(HostCoreTest, DecidesNothingBeforeTheHypervisorWasSeenWhole) {
  core.reset();
  world.completes = false;
  start_agent();
  assign_and_run();
  EXPECT_EQ(world.count("start"), 0);
  EXPECT_FALSE(link.told.contains("vm-1"));
}

TEST_F(HostCoreTest, DoesNothingToAGuestThatCannotBeLookedFor) {
  assign_and_run();
  const port::GuestObservation before = world.guests["vm-1"];
  world.change("vm-1", [](port::GuestObservation& guest) {
    guest = port::GuestObservation();
    guest.vm_id = "vm-1";
    guest.state = GuestState::unknown;
    guest.problem.set_code("guest_unknown");
  });
  crash_and_return();
  world.calls.clear();
  executor.run_for(60'000);
  EXPECT_EQ(told().state(), v1::VmStatus::STARTING);
  EXPECT_EQ(told().problem().code(), "guest_unknown");
  EXPECT_EQ(told().boot_id(), "task-1");
  change_vm([](v1::VmSpec& spec) { spec.set_power(v1::VmSpec::STOPPED); });
  executor.run_for(60'000);
  EXPECT_EQ(told().state(), v1::VmStatus::STOPPING);
  for (const char* call : {"start", "kill", "detach", "forget"}) EXPECT_EQ(world.count(call), 0) << call;
  world.change("vm-1", [&before](port::GuestObservation& guest) { guest = before; });
  executor.run_for(60'000);
  EXPECT_EQ(told().state(), v1::VmStatus::STOPPED);
  EXPECT_FALSE(told().has_problem());
  EXPECT_EQ(world.count("power_down"), 1);
}

TEST_F(HostCoreTest, RepeatedAssignmentsChangeNothing) {
  assign_and_run(3'000);
  const std::size_t calls = world.calls.size();
  const std::size_t sent = link.sent.size();
  assign_and_run(100);
  assign_and_run(100);
  EXPECT_EQ(world.calls.size(), calls);
  EXPECT_EQ(link.sent.size(), sent);
}

TEST_F(HostCoreTest, StopsByAskingTheGuest) {
  assign_and_run();
  change_vm([](v1::VmSpec& spec) { spec.set_power(v1::VmSpec::STOPPED); });
  executor.run_for(1'000);
  EXPECT_EQ(guest(), GuestState::ended);
  EXPECT_EQ(told().state(), v1::VmStatus::STOPPED);
  EXPECT_EQ(told().exit().reason(), v1::VmExit::GUEST_SHUTDOWN);
  EXPECT_EQ(world.count("kill"), 0);
  EXPECT_GE(world.count("detach"), 1);
}

TEST_F(HostCoreTest, ForcesAGuestThatDoesNotPowerOff) {
  world.obeys_power_button = false;
  assign_and_run();
  change_vm([](v1::VmSpec& spec) { spec.set_power(v1::VmSpec::STOPPED); });
  executor.run_for(4'900);
  EXPECT_EQ(told().state(), v1::VmStatus::STOPPING);
  EXPECT_EQ(told().waiting_for(), "the guest to power off");
  EXPECT_EQ(world.count("kill"), 0);
  executor.run_for(500);
  EXPECT_EQ(told().state(), v1::VmStatus::STOPPED);
  EXPECT_EQ(told().exit().reason(), v1::VmExit::FORCED);
}

TEST_F(HostCoreTest, AStopMayHaveATimeoutOfItsOwn) {
  world.obeys_power_button = false;
  assign_and_run();
  change_vm([](v1::VmSpec& spec) {
    spec.set_power(v1::VmSpec::STOPPED);
    spec.set_stop_once_timeout_seconds(2);
  });
  executor.run_for(1'900);
  EXPECT_EQ(told().state(), v1::VmStatus::STOPPING);
  executor.run_for(500);
  EXPECT_EQ(told().exit().reason(), v1::VmExit::FORCED);
}

TEST_F(HostCoreTest, AForcedStopDoesNotAsk) {
  assign_and_run();
  change_vm([](v1::VmSpec& spec) {
    spec.set_power(v1::VmSpec::STOPPED);
    spec.set_force_stop_id("task-2");
  });
  executor.run_for(1'000);
  EXPECT_EQ(world.count("power_down"), 0);
  EXPECT_EQ(told().state(), v1::VmStatus::STOPPED);
}

TEST_F(HostCoreTest, AForcedStopCutsAStartShort) {
  world.silent.insert("start");
  assign_and_run();
  EXPECT_EQ(told().state(), v1::VmStatus::STARTING);
  change_vm([](v1::VmSpec& spec) {
    spec.set_power(v1::VmSpec::STOPPED);
    spec.set_force_stop_id("task-2");
  });
  executor.run_for(10);
  EXPECT_EQ(guest(), GuestState::ended);
}

TEST_F(HostCoreTest, ARestartIsAnotherBoot) {
  assign_and_run();
  change_vm([](v1::VmSpec& spec) { spec.set_boot_id("task-2"); });
  executor.run_for(1'000);
  EXPECT_EQ(guest(), GuestState::running);
  EXPECT_EQ(told().boot_id(), "task-2");
  EXPECT_EQ(world.count("power_down"), 1);
  EXPECT_EQ(world.count("start"), 2);
}

TEST_F(HostCoreTest, PausesAndResumes) {
  assign_and_run();
  change_vm([](v1::VmSpec& spec) { spec.set_power(v1::VmSpec::PAUSED); });
  executor.run_for(1'000);
  EXPECT_EQ(told().state(), v1::VmStatus::PAUSED);
  change_vm([](v1::VmSpec& spec) { spec.set_power(v1::VmSpec::RUNNING); });
  executor.run_for(1'000);
  EXPECT_EQ(told().state(), v1::VmStatus::RUNNING);
  EXPECT_EQ(world.count("start"), 1);
}

TEST_F(HostCoreTest, ResetsOnceForEachOperation) {
  assign_and_run();
  change_vm([](v1::VmSpec& spec) { spec.set_reset_id("task-2"); });
  executor.run_for(1'000);
  crash_and_return();
  executor.run_for(1'000);
  EXPECT_EQ(world.count("reset"), 1);
  EXPECT_EQ(told().reset_id(), "task-2");
  change_vm([](v1::VmSpec& spec) { spec.set_reset_id("task-3"); });
  executor.run_for(1'000);
  EXPECT_EQ(world.count("reset"), 2);
}

TEST_F(HostCoreTest, AResetThatCannotBeDoneEndsItsOperationAndTheGuestRunsOn) {
  assign_and_run();
  world.failures.emplace("reset", Error{.code = ErrorCode::unsupported, .summary = "no reset"});
  change_vm([](v1::VmSpec& spec) { spec.set_reset_id("task-2"); });
  executor.run_for(60'000);
  EXPECT_EQ(told().state(), v1::VmStatus::RUNNING);
  EXPECT_EQ(told().failed_operation_id(), "task-2");
  EXPECT_EQ(world.count("reset"), 1);
  crash_and_return();
  executor.run_for(60'000);
  EXPECT_EQ(world.count("reset"), 1);
  EXPECT_EQ(told().failed_operation_id(), "task-2");
}

TEST_F(HostCoreTest, ABootThatEndedIsNotBegunAgain) {
  assign_and_run();
  world.end("vm-1", v1::VmExit::CRASH);
  executor.run_for(1'000);
  EXPECT_EQ(told().state(), v1::VmStatus::CRASHED);
  EXPECT_EQ(told().problem().code(), "guest_crashed");
  crash_and_return();
  executor.run_for(60'000);
  EXPECT_EQ(world.count("start"), 1);
  change_vm([](v1::VmSpec& spec) { spec.set_boot_id("task-2"); });
  executor.run_for(1'000);
  EXPECT_EQ(told().state(), v1::VmStatus::RUNNING);
}

TEST_F(HostCoreTest, AFailedStartEndsItsOperationAndLeavesNothingAttached) {
  world.failures.emplace("start", Error{.code = ErrorCode::internal, .summary = "no such machine"});
  assign_and_run(60'000);
  EXPECT_EQ(told().state(), v1::VmStatus::FAILED);
  EXPECT_EQ(told().failed_operation_id(), "task-1");
  EXPECT_EQ(told().problem().summary(), "no such machine");
  EXPECT_EQ(world.count("start"), 1);
  EXPECT_GE(world.count("detach"), 2);
}

TEST_F(HostCoreTest, WhatFailsForNowIsTriedAgainAndShown) {
  for (int i = 0; i < 2; ++i) {
    world.failures.emplace("attach", Error{.code = ErrorCode::unavailable, .summary = "busy"});
  }
  assign_and_run(500);
  EXPECT_EQ(told().problem().summary(), "busy");
  EXPECT_EQ(told().failed_operation_id(), "");
  executor.run_for(10'000);
  EXPECT_EQ(told().state(), v1::VmStatus::RUNNING);
  EXPECT_FALSE(told().has_problem());
}

TEST_F(HostCoreTest, AConflictThatDoesNotHealEndsTheBootAtOnce) {
  world.failures.emplace("attach",
                         Error{.code = ErrorCode::conflict, .summary = "cannot forward", .reason = "port_in_use"});
  assign_and_run();
  EXPECT_EQ(told().state(), v1::VmStatus::FAILED);
  EXPECT_EQ(told().failed_operation_id(), "task-1");
  EXPECT_EQ(told().problem().code(), "port_in_use");
}

TEST_F(HostCoreTest, ANetworkWhoseSegmentIsTakenFails) {
  world.failures.emplace("ensure_network",
                         Error{.code = ErrorCode::conflict, .summary = "taken", .reason = "subnet_in_use"});
  assign_and_run();
  EXPECT_EQ(link.told["net-1"].network().state(), v1::NetworkStatus::FAILED);
  EXPECT_EQ(told().failed_operation_id(), "task-1");
}

TEST_F(HostCoreTest, WhatNeverHealsIsGivenUpAfterSomeTries) {
  for (int i = 0; i < 100; ++i) {
    world.failures.emplace("attach", Error{.code = ErrorCode::unavailable, .summary = "busy"});
  }
  assign_and_run(30'000);
  EXPECT_EQ(told().failed_operation_id(), "");
  EXPECT_EQ(told().problem().summary(), "busy");
  executor.run_for(300'000);
  EXPECT_EQ(told().state(), v1::VmStatus::FAILED);
  EXPECT_EQ(told().failed_operation_id(), "task-1");
  EXPECT_EQ(world.count("attach"), 8);
}

TEST_F(HostCoreTest, ADeletionIsToldToFailAndGoesOnTrying) {
  assign_and_run();
  for (int i = 0; i < 12; ++i) {
    world.failures.emplace("delete_volume", Error{.code = ErrorCode::unavailable, .summary = "busy"});
  }
  vm.mutable_meta()->mutable_deletion()->set_task_id("task-9");
  volume.mutable_meta()->mutable_deletion()->set_task_id("task-9");
  assign_and_run(150'000);
  EXPECT_EQ(link.told["vol-1"].volume().failed_operation_id(), "task-9");
  executor.run_for(300'000);
  EXPECT_TRUE(link.told["vol-1"].absent());
}

TEST_F(HostCoreTest, ADeletionCutsACreationShort) {
  assign_all();
  for (int i = 0; i < 1'000 && world.count("create_volume") == 0; ++i) executor.run_one();
  vm.mutable_meta()->mutable_deletion()->set_task_id("task-9");
  volume.mutable_meta()->mutable_deletion()->set_task_id("task-9");
  assign_all();
  // Its answer, which comes first, says nothing any more.
  executor.run_for(1'000);
  EXPECT_EQ(world.count("create_volume"), 1);
  EXPECT_EQ(world.count("delete_volume"), 1);
  EXPECT_TRUE(link.told["vol-1"].absent());
}

TEST_F(HostCoreTest, ACreationThatTakesForEverDoesNotHoldUpItsDeletion) {
  world.silent.insert("create_volume");
  assign_and_run();
  ASSERT_EQ(world.count("create_volume"), 1);
  EXPECT_EQ(link.told["vol-1"].volume().state(), v1::VolumeStatus::CREATING);
  vm.mutable_meta()->mutable_deletion()->set_task_id("task-9");
  volume.mutable_meta()->mutable_deletion()->set_task_id("task-9");
  assign_and_run();
  EXPECT_TRUE(link.told["vol-1"].absent());
  EXPECT_TRUE(link.told["vm-1"].absent());
}

TEST_F(HostCoreTest, AGuestThatAFullDiskHoldsGoesOnOnceThereIsRoom) {
  assign_and_run();
  world.fill_disk("vm-1");
  executor.run_for(10'000);
  EXPECT_EQ(told().state(), v1::VmStatus::PAUSED);
  EXPECT_EQ(told().problem().code(), "disk_full");
  EXPECT_EQ(told().waiting_for(), "");
  EXPECT_EQ(world.count("resume"), 0);
  executor.run_for(51'000);
  EXPECT_EQ(world.count("resume"), 4);
  world.disk_is_full = false;
  executor.run_for(20'000);
  EXPECT_EQ(told().state(), v1::VmStatus::RUNNING);
  EXPECT_FALSE(told().has_problem());
}

TEST_F(HostCoreTest, AGuestThatAFullDiskHoldsIsResumedAtOnceWhenAsked) {
  assign_and_run();
  world.fill_disk("vm-1");
  executor.run_for(1'000);
  world.disk_is_full = false;
  change_vm([](v1::VmSpec&) {});
  executor.run_for(100);
  EXPECT_EQ(told().state(), v1::VmStatus::RUNNING);
}

TEST_F(HostCoreTest, AGuestThatAFullDiskHoldsIsStoppedInTime) {
  world.obeys_power_button = false;
  assign_and_run();
  world.fill_disk("vm-1");
  executor.run_for(1'000);
  change_vm([](v1::VmSpec& spec) { spec.set_power(v1::VmSpec::STOPPED); });
  executor.run_for(5'500);
  EXPECT_EQ(told().state(), v1::VmStatus::STOPPED);
  EXPECT_LE(world.count("resume"), 1);
}

TEST_F(HostCoreTest, AVolumeThatCannotGrowIsAsGoodAsBefore) {
  assign_and_run();
  change_vm([](v1::VmSpec& spec) { spec.set_power(v1::VmSpec::STOPPED); });
  executor.run_for(1'000);
  world.failures.emplace("resize_volume", Error{.code = ErrorCode::out_of_space, .summary = "pool full"});
  take_status();
  volume.mutable_spec()->set_capacity_bytes(200);
  volume.mutable_meta()->set_generation(2);
  assign_and_run();
  EXPECT_EQ(link.told["vol-1"].volume().state(), v1::VolumeStatus::READY);
  EXPECT_EQ(link.told["vol-1"].volume().problem().summary(), "pool full");
  EXPECT_EQ(link.told["vol-1"].volume().capacity_bytes(), 100U);
  change_vm([](v1::VmSpec& spec) {
    spec.set_power(v1::VmSpec::RUNNING);
    spec.set_boot_id("task-2");
  });
  executor.run_for(1'000);
  EXPECT_EQ(told().state(), v1::VmStatus::RUNNING);
  EXPECT_EQ(world.count("resize_volume"), 1);
}

TEST_F(HostCoreTest, AnImageWaitsForItsUploadWithoutLookingAllTheTime) {
  image.mutable_spec()->set_upload(true);
  image.mutable_meta()->set_generation(1);
  for (int i = 0; i < 1'000; ++i) {
    world.failures.emplace("import_image", Error{.code = ErrorCode::not_found, .summary = "no content yet"});
  }
  assign_and_run(600'000);
  EXPECT_EQ(link.told["img-1"].image().state(), v1::ImageStatus::WAITING);
  EXPECT_LT(world.count("import_image"), 30);
  world.failures.clear();
  image.mutable_meta()->set_generation(2);
  assign_and_run(100);
  EXPECT_EQ(link.told["img-1"].image().state(), v1::ImageStatus::READY);
}

TEST_F(HostCoreTest, ContentThatWasAnnouncedIsNotWaitedForWhileItIsImported) {
  image.mutable_spec()->set_upload(true);
  image.mutable_meta()->set_generation(1);
  world.failures.emplace("import_image", Error{.code = ErrorCode::not_found, .summary = "no content yet"});
  assign_and_run(100);
  ASSERT_EQ(link.told["img-1"].image().state(), v1::ImageStatus::WAITING);
  EXPECT_EQ(link.told["img-1"].image().observed_generation(), 1U);
  world.silent.insert("import_image");
  image.mutable_meta()->set_generation(2);
  assign_and_run();
  ASSERT_EQ(world.count("import_image"), 2);
  EXPECT_EQ(link.told["img-1"].image().state(), v1::ImageStatus::IMPORTING);
  EXPECT_EQ(link.told["img-1"].image().observed_generation(), 2U);
}

TEST_F(HostCoreTest, ContentAnnouncedWhileItLooksForItIsTakenAtOnce) {
  image.mutable_spec()->set_upload(true);
  image.mutable_meta()->set_generation(1);
  world.failures.emplace("import_image", Error{.code = ErrorCode::not_found, .summary = "no content yet"});
  assign_all();
  for (int i = 0; i < 100 && world.count("import_image") == 0; ++i) executor.run_for(1);
  ASSERT_EQ(world.count("import_image"), 1);
  image.mutable_meta()->set_generation(2);
  assign_and_run(100);
  EXPECT_EQ(link.told["img-1"].image().state(), v1::ImageStatus::READY);
}

TEST_F(HostCoreTest, WhatAProblemQuotesIsBoundedAndCanBeKept) {
  world.failures.emplace(
      "create_volume",
      Error{.code = ErrorCode::corrupt, .summary = "no", .cause = "\xff\x1b[2J" + std::string(1'000'000, 'x')});
  assign_and_run();
  const v1::Problem& problem = link.told["vol-1"].volume().problem();
  EXPECT_EQ(problem.cause().substr(0, 6), "??[2Jx");
  EXPECT_LE(problem.cause().size(), 2'000U);
}

TEST_F(HostCoreTest, AFullDiskFailsTheVolumeAndTheBootUntilAnotherOneIsAskedFor) {
  world.failures.emplace("create_volume", Error{.code = ErrorCode::out_of_space, .summary = "pool full"});
  assign_and_run(60'000);
  EXPECT_EQ(link.told["vol-1"].volume().state(), v1::VolumeStatus::FAILED);
  EXPECT_EQ(link.told["vol-1"].volume().observed_generation(), 1U);
  EXPECT_EQ(told().state(), v1::VmStatus::FAILED);
  EXPECT_EQ(told().failed_operation_id(), "task-1");
  EXPECT_EQ(told().problem().summary(), "pool full");
  change_vm([](v1::VmSpec& spec) { spec.set_boot_id("task-2"); });
  executor.run_for(1'000);
  EXPECT_EQ(told().state(), v1::VmStatus::RUNNING);
}

TEST_F(HostCoreTest, AMissingFileIsAProblemAndNeverABlankDisk) {
  assign_and_run();
  change_vm([](v1::VmSpec& spec) { spec.set_power(v1::VmSpec::STOPPED); });
  executor.run_for(1'000);
  world.volumes.clear();
  crash_and_return();
  executor.run_for(1'000);
  EXPECT_EQ(link.told["vol-1"].volume().problem().code(), "volume_missing");
  EXPECT_EQ(told().problem().code(), "volume_missing");
  for (const std::string boot_id : {"task-2", "task-3"}) {
    change_vm([&boot_id](v1::VmSpec& spec) {
      spec.set_power(v1::VmSpec::RUNNING);
      spec.set_boot_id(boot_id);
    });
    executor.run_for(1'000);
    EXPECT_EQ(told().failed_operation_id(), boot_id);
  }
  EXPECT_TRUE(world.volumes.empty());
  world.volumes["vol-1"] = 100;
  change_vm([](v1::VmSpec& spec) { spec.set_boot_id("task-4"); });
  executor.run_for(1'000);
  EXPECT_EQ(told().state(), v1::VmStatus::RUNNING);
}

TEST_F(HostCoreTest, GrowsAVolumeOnlyWhileNoGuestHasItOpen) {
  assign_and_run();
  take_status();
  volume.mutable_spec()->set_capacity_bytes(200);
  volume.mutable_meta()->set_generation(2);
  assign_and_run();
  EXPECT_EQ(world.count("resize_volume"), 0);
  EXPECT_EQ(link.told["vol-1"].volume().state(), v1::VolumeStatus::RESIZING);
  change_vm([](v1::VmSpec& spec) { spec.set_boot_id("task-2"); });
  executor.run_for(2'000);
  EXPECT_EQ(world.volumes["vol-1"], 200U);
  EXPECT_EQ(told().boot_id(), "task-2");
}

TEST_F(HostCoreTest, DeletesAGuestWhole) {
  assign_and_run();
  world.calls.clear();
  vm.mutable_meta()->mutable_deletion()->set_task_id("task-9");
  volume.mutable_meta()->mutable_deletion()->set_task_id("task-9");
  assign_and_run();
  EXPECT_TRUE(world.guests.empty());
  EXPECT_TRUE(world.volumes.empty());
  EXPECT_TRUE(link.told["vm-1"].absent());
  EXPECT_TRUE(link.told["vol-1"].absent());
  std::erase(world.calls, "inspect_pool");
  EXPECT_EQ(world.calls, (std::vector<std::string>{"kill", "delete_volume", "detach", "delete_seed", "forget"}));
}

TEST_F(HostCoreTest, ALateAssignmentDoesNotBringADeletedGuestBack) {
  assign_and_run();
  const v1::Vm before = vm;
  vm.mutable_meta()->mutable_deletion()->set_task_id("task-9");
  assign_and_run();
  ASSERT_TRUE(link.told["vm-1"].absent());
  vm = before;
  assign_and_run();
  EXPECT_TRUE(world.guests.empty());
  // Asked again whether it is gone, it says so again.
  link.told.clear();
  vm.mutable_meta()->mutable_deletion()->set_task_id("task-9");
  assign_and_run();
  EXPECT_TRUE(link.told["vm-1"].absent());
}

TEST_F(HostCoreTest, RefusesAnOlderPlacement) {
  vm.mutable_placement()->set_epoch(5);
  assign_and_run();
  vm.mutable_placement()->set_epoch(4);
  change_vm([](v1::VmSpec& spec) { spec.set_power(v1::VmSpec::STOPPED); });
  executor.run_for(1'000);
  EXPECT_EQ(guest(), GuestState::running);
}

TEST_F(HostCoreTest, IgnoresAnOlderGeneration) {
  const v1::Vm before = vm;
  vm.mutable_meta()->set_generation(2);
  vm.mutable_spec()->set_power(v1::VmSpec::STOPPED);
  assign_and_run();
  vm = before;
  assign_and_run();
  EXPECT_EQ(world.count("start"), 0);
}

TEST_F(HostCoreTest, ALateListDoesNotMakeItForgetNewerRecords) {
  v1::ToHost late;
  late.set_sequence(1);
  late.set_complete(true);
  v1::ToHost all;
  all.set_sequence(2);
  *all.add_assignments()->mutable_pool() = pool;
  link.receive(all);
  link.receive(late);
  link.told.clear();
  link.connection(true);
  executor.run_for(1'000);
  EXPECT_TRUE(link.told.contains("pool-1"));
}

TEST_F(HostCoreTest, LeavesGuestsWithoutAssignmentAlone) {
  world.guests["vm-7"].vm_id = "vm-7";
  world.guests["vm-7"].state = GuestState::running;
  core.reset();
  start_agent();
  assign_and_run(60'000);
  EXPECT_EQ(world.guests["vm-7"].state, GuestState::running);
  EXPECT_EQ(world.count("kill"), 0);
}

TEST_F(HostCoreTest, TellsEverythingAgainOnEachConnection) {
  assign_and_run();
  link.told.clear();
  link.connection(false);
  link.connection(true);
  executor.run_for(10);
  EXPECT_EQ(link.told.size(), 5U);
  EXPECT_TRUE(std::ranges::any_of(link.sent, [](const v1::FromHost& message) { return message.hello(); }));
}

// An agent killed before any of its steps: the next one must bring the VM to the same end, with one start.
TEST_F(HostCoreTest, ACrashAtAnyStepChangesNothingInTheEnd) {
  int steps = 0;
  for (int crash_at = 0; crash_at < 400; ++crash_at) {
    world.guests.clear();
    world.volumes.clear();
    world.images.clear();
    world.calls.clear();
    vm.clear_status();
    volume.clear_status();
    image.clear_status();
    link.told.clear();
    core.reset();
    executor.run_for(1'000);
    start_agent();
    assign_all();
    const Milliseconds end_ms = executor.now().monotonic_ms + 200;
    int done = 0;
    while (done < crash_at && executor.has_work_before(end_ms)) {
      executor.run_one();
      ++done;
    }
    if (done < crash_at) break;
    ++steps;
    crash_and_return();
    // Found starting: the fake finishes that boot though nobody is there to hear of it.
    executor.run_for(2'000);
    ASSERT_EQ(guest(), GuestState::running) << "after a crash at step " << crash_at;
    ASSERT_EQ(told().state(), v1::VmStatus::RUNNING) << "after a crash at step " << crash_at;
    ASSERT_EQ(world.count("start"), 1) << "after a crash at step " << crash_at;
  }
  EXPECT_GT(steps, 20);
}

}  // namespace
}  // namespace gantry::host
