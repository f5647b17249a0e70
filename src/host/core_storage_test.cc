// Volumes and images as the agent drives them, and what that means for the VM that needs them.
#include <utility>

#include "host/test_fixture.h"

namespace gantry::host {
namespace {

class CoreStorageTest : public CoreWithVmTest {
 protected:
  void await_upload() {
    image.mutable_spec()->set_upload(true);
    image.mutable_meta()->set_generation(1);
  }
};

TEST_F(CoreStorageTest, ADeletionIsToldToFailAndGoesOnTrying) {
  assign_and_run();
  for (int i = 0; i < 12; ++i) {
    world.failures.emplace("delete_volume", Error{.code = ErrorCode::unavailable, .summary = "busy"});
  }
  delete_both();
  assign_and_run(150'000);
  EXPECT_EQ(told_volume().failed_operation_id(), "task-9");
  executor.run_for(300'000);
  EXPECT_TRUE(link.told["vol-1"].absent());
}

TEST_F(CoreStorageTest, ADeletionCutsACreationShort) {
  assign_all();
  for (int i = 0; i < 1'000 && world.count("create_volume") == 0; ++i) executor.run_one();
  delete_both();
  assign_all();
  // Its answer, which comes first, says nothing any more.
  executor.run_for(1'000);
  EXPECT_EQ(world.count("create_volume"), 1);
  EXPECT_EQ(world.count("delete_volume"), 1);
  EXPECT_TRUE(link.told["vol-1"].absent());
}

TEST_F(CoreStorageTest, ACreationThatTakesForEverDoesNotHoldUpItsDeletion) {
  world.silent.insert("create_volume");
  assign_and_run();
  ASSERT_EQ(world.count("create_volume"), 1);
  EXPECT_EQ(told_volume().state(), v1::VolumeStatus::CREATING);
  delete_both();
  assign_and_run();
  EXPECT_TRUE(link.told["vol-1"].absent());
  EXPECT_TRUE(link.told["vm-1"].absent());
}

TEST_F(CoreStorageTest, AVolumeThatCannotGrowIsAsGoodAsBefore) {
  assign_and_run();
  change_vm([](v1::VmSpec& spec) { spec.set_power(v1::VmSpec::STOPPED); });
  executor.run_for(1'000);
  world.failures.emplace("resize_volume", Error{.code = ErrorCode::out_of_space, .summary = "pool full"});
  take_status();
  volume.mutable_spec()->set_capacity_bytes(200);
  volume.mutable_meta()->set_generation(2);
  assign_and_run();
  EXPECT_EQ(told_volume().state(), v1::VolumeStatus::READY);
  EXPECT_EQ(told_volume().problem().summary(), "pool full");
  EXPECT_EQ(told_volume().capacity_bytes(), 100U);
  change_vm([](v1::VmSpec& spec) {
    spec.set_power(v1::VmSpec::RUNNING);
    spec.set_boot_id("task-2");
  });
  executor.run_for(1'000);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
  EXPECT_EQ(world.count("resize_volume"), 1);
}

TEST_F(CoreStorageTest, GrowsAVolumeOnlyWhileNoGuestHasItOpen) {
  assign_and_run();
  take_status();
  volume.mutable_spec()->set_capacity_bytes(200);
  volume.mutable_meta()->set_generation(2);
  assign_and_run();
  EXPECT_EQ(world.count("resize_volume"), 0);
  EXPECT_EQ(told_volume().state(), v1::VolumeStatus::RESIZING);
  change_vm([](v1::VmSpec& spec) { spec.set_boot_id("task-2"); });
  executor.run_for(2'000);
  EXPECT_EQ(world.volumes["vol-1"], 200U);
  EXPECT_EQ(told_vm().boot_id(), "task-2");
}

TEST_F(CoreStorageTest, AFullDiskFailsTheVolumeAndTheBootUntilAnotherOneIsAskedFor) {
  world.failures.emplace("create_volume", Error{.code = ErrorCode::out_of_space, .summary = "pool full"});
  assign_and_run(60'000);
  EXPECT_EQ(told_volume().state(), v1::VolumeStatus::FAILED);
  EXPECT_EQ(told_volume().observed_generation(), 1U);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::FAILED);
  EXPECT_EQ(told_vm().failed_operation_id(), "task-1");
  EXPECT_EQ(told_vm().problem().summary(), "pool full");
  change_vm([](v1::VmSpec& spec) { spec.set_boot_id("task-2"); });
  executor.run_for(1'000);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
}

TEST_F(CoreStorageTest, AMissingFileIsAProblemAndNeverABlankDisk) {
  assign_and_run();
  change_vm([](v1::VmSpec& spec) { spec.set_power(v1::VmSpec::STOPPED); });
  executor.run_for(1'000);
  world.volumes.clear();
  crash_and_return();
  executor.run_for(1'000);
  EXPECT_EQ(told_volume().problem().code(), "volume_missing");
  EXPECT_EQ(told_vm().problem().code(), "volume_missing");
  for (const std::string boot_id : {"task-2", "task-3"}) {
    change_vm([&boot_id](v1::VmSpec& spec) {
      spec.set_power(v1::VmSpec::RUNNING);
      spec.set_boot_id(boot_id);
    });
    executor.run_for(1'000);
    EXPECT_EQ(told_vm().failed_operation_id(), boot_id);
  }
  EXPECT_TRUE(world.volumes.empty());
  world.volumes["vol-1"] = 100;
  change_vm([](v1::VmSpec& spec) { spec.set_boot_id("task-4"); });
  executor.run_for(1'000);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
}

TEST_F(CoreStorageTest, WhatAProblemQuotesIsBoundedAndCanBeKept) {
  world.failures.emplace(
      "create_volume",
      Error{.code = ErrorCode::corrupt, .summary = "no", .cause = "\xff\x1b[2J" + std::string(1'000'000, 'x')});
  assign_and_run();
  const v1::Problem& problem = told_volume().problem();
  EXPECT_EQ(problem.cause().substr(0, 6), "??[2Jx");
  EXPECT_LE(problem.cause().size(), 2'000U);
}

TEST_F(CoreStorageTest, WhatWasSentForAnImageIsNotTouchedBeforeItIsAnnounced) {
  await_upload();
  world.failures.emplace("import_image", Error{.code = ErrorCode::corrupt, .summary = "it is damaged"});
  assign_and_run(600'000);
  EXPECT_EQ(world.count("import_image"), 0);
  EXPECT_EQ(told_image().state(), v1::ImageStatus::WAITING);
  EXPECT_EQ(told_image().observed_generation(), 1U);
  image.mutable_meta()->set_generation(2);
  assign_and_run(100);
  EXPECT_EQ(world.count("import_image"), 1);
  EXPECT_EQ(told_image().state(), v1::ImageStatus::FAILED);
  EXPECT_EQ(told_image().observed_generation(), 2U);
  // Other content may be sent.
  image.mutable_meta()->set_generation(3);
  assign_and_run(100);
  EXPECT_EQ(told_image().state(), v1::ImageStatus::READY);
}

TEST_F(CoreStorageTest, ContentThatWasAnnouncedIsNotWaitedForWhileItIsImported) {
  await_upload();
  assign_and_run(100);
  ASSERT_EQ(told_image().state(), v1::ImageStatus::WAITING);
  world.silent.insert("import_image");
  image.mutable_meta()->set_generation(2);
  assign_and_run();
  ASSERT_EQ(world.count("import_image"), 1);
  EXPECT_EQ(told_image().state(), v1::ImageStatus::IMPORTING);
  EXPECT_EQ(told_image().observed_generation(), 2U);
}

// It was refused and removed, and the agent killed before it told.
TEST_F(CoreStorageTest, ContentThatIsGoneAgainIsTold) {
  await_upload();
  image.mutable_meta()->set_generation(2);
  world.failures.emplace("import_image", Error{.code = ErrorCode::not_found, .summary = "no content"});
  assign_and_run(100);
  EXPECT_EQ(told_image().state(), v1::ImageStatus::FAILED);
  EXPECT_EQ(told_image().problem().summary(), "no content");
}

// Whoever wants the volume heard of it late: its VM is being deleted, and the deletion of the image has begun.
TEST_F(CoreStorageTest, NothingNewStandsOnAnImageThatIsBeingDeleted) {
  vm.clear_meta();
  const v1::Volume late = std::exchange(volume, {});
  assign_and_run();
  world.silent.insert("delete_image");
  image.mutable_meta()->mutable_deletion()->set_task_id("task-9");
  assign_and_run();
  ASSERT_EQ(world.count("delete_image"), 1);
  volume = late;
  assign_and_run();
  EXPECT_EQ(world.count("create_volume"), 0);
  EXPECT_EQ(told_volume().state(), v1::VolumeStatus::PENDING);
  volume.mutable_meta()->mutable_deletion()->set_task_id("task-8");
  assign_and_run();
  EXPECT_TRUE(link.told["vol-1"].absent());
}

}  // namespace
}  // namespace gantry::host
