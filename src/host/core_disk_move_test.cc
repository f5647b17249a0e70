// A disk that goes to another pool while its guest runs, as the agent sees it.
#include "host/disk_move_machine.h"
#include "host/test_fixture.h"

namespace gantry::host {
namespace {

using Phase = v1::VmMoveStatus;

// The disk "vol-1" goes to "vol-2".
class CoreDiskMoveTest : public CoreWithVmTest {
 protected:
  CoreDiskMoveTest() {
    copy = volume;
    copy.mutable_meta()->set_id("vol-2");
    copy.mutable_spec()->clear_image();
    copy.mutable_spec()->set_copy_of("vol-1");
  }

  void assign(Milliseconds for_ms = 1'000) {
    if (link.told.contains("vm-1")) *vm.mutable_status() = link.told["vm-1"].vm();
    vm.mutable_meta()->set_revision(++revision);
    copy.mutable_meta()->set_revision(revision);
    v1::ToHost message;
    *message.add_assignments()->mutable_pool() = pool;
    *message.add_assignments()->mutable_network() = network;
    *message.add_assignments()->mutable_image() = image;
    *message.add_assignments()->mutable_volume() = volume;
    if (has_copy) *message.add_assignments()->mutable_volume() = copy;
    *message.add_assignments()->mutable_vm() = vm;
    message.set_complete(true);
    link.receive(message);
    executor.run_for(for_ms);
  }
  v1::VmDiskMove& move() { return *vm.mutable_placement()->mutable_disk_move(); }
  void begin_move() {
    assign(5'000);
    ASSERT_EQ(guest(), GuestState::running);
    has_copy = true;
    move().set_task_id("task-7");
    move().mutable_disk()->set_volume("vol-1");
    move().mutable_disk()->set_copy("vol-2");
    move().set_bytes_per_second_max(1'000'000);
    assign();
  }
  // Until the copy is under way.
  void begin_copying() {
    world.silent.insert("copy_disk");
    begin_move();
    ASSERT_EQ(world.count("copy_disk"), 1);
  }
  void copying_ends(const Result<void>& result) {
    world.copy_done(result);
    executor.run_for(1'000);
  }
  void restart() {
    core.reset();
    start_agent();
    assign(5'000);
  }
  const v1::VmMoveStatus& told_move() { return told_vm().disk_move(); }

  v1::Volume copy;
  bool has_copy = false;
  std::uint64_t revision = 0;
};

TEST_F(CoreDiskMoveTest, TheCopyIsMadeAndTheGuestUsesIt) {
  begin_move();
  ASSERT_EQ(world.copy_requests.size(), 1U);
  EXPECT_EQ(world.copy_requests[0].id, "task-7");
  EXPECT_EQ(world.copy_requests[0].index, 0U);
  EXPECT_EQ(world.copy_requests[0].copy.path, "/pool/vol-2");
  EXPECT_EQ(world.copy_requests[0].bytes_per_second_max, 1'000'000U);
  EXPECT_EQ(world.volume_requests.back().uid, world.volume_requests.front().uid) << "it is the guest's";
  EXPECT_EQ(told_move().task_id(), "task-7");
  EXPECT_EQ(told_move().phase(), Phase::GIVEN);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
  executor.run_for(60'000);
  EXPECT_EQ(world.count("copy_disk"), 1);
}

TEST_F(CoreDiskMoveTest, ACopyThatWasMadeForNobodyYetBecomesTheGuests) {
  has_copy = true;
  begin_move();
  ASSERT_EQ(world.copy_requests.size(), 1U);
  EXPECT_EQ(world.volume_requests.back().volume_id, "vol-2");
  EXPECT_NE(world.volume_requests.back().uid, 0U);
  EXPECT_EQ(told_move().phase(), Phase::GIVEN);
}

TEST_F(CoreDiskMoveTest, ItsProgressIsTold) {
  begin_copying();
  EXPECT_EQ(told_move().phase(), Phase::COPYING);
  world.copy_progress({.bytes_done = 30, .bytes_left = 70});
  executor.run_for(100);
  EXPECT_EQ(told_move().progress().percent(), 30U);
  EXPECT_TRUE(told_move().progress().measurable());
  world.copy_progress({.bytes_done = 40, .bytes_left = 60});
  executor.run_for(100);
  EXPECT_EQ(told_move().progress().percent(), 30U) << "each is a write of the manager's";
  executor.run_for(2'000);
  world.copy_progress({.bytes_done = 50, .bytes_left = 50});
  executor.run_for(100);
  EXPECT_EQ(told_move().progress().percent(), 50U);
}

TEST_F(CoreDiskMoveTest, ThatFailsIsToldAndNotTriedAgain) {
  begin_copying();
  copying_ends(fail(ErrorCode::unavailable, "the disk could not be copied", "it is full", "", "copy_failed"));
  EXPECT_EQ(told_move().phase(), Phase::FAILED);
  EXPECT_EQ(told_move().problem().code(), "copy_failed");
  executor.run_for(60'000);
  EXPECT_EQ(world.count("copy_disk"), 1);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
  // Another is another.
  move().set_task_id("task-8");
  assign();
  EXPECT_EQ(world.count("copy_disk"), 2);
  EXPECT_EQ(told_move().phase(), Phase::COPYING);
}

TEST_F(CoreDiskMoveTest, ACancelEndsTheCopyingUnlessItIsTooLate) {
  for (const bool in_time : {true, false}) {
    CoreDiskMoveTest::world.calls.clear();
    begin_copying();
    move().set_cancelled(true);
    assign();
    EXPECT_EQ(world.count("stop_copying"), 1) << "it is said once";
    EXPECT_EQ(told_move().phase(), Phase::COPYING) << "it is not over";
    if (!in_time) world.use_copy("vm-1", "task-7");
    copying_ends(in_time ? fail(ErrorCode::cancelled, "cancelled") : Result<void>());
    EXPECT_EQ(told_move().phase(), in_time ? Phase::FAILED : Phase::GIVEN);
    move().set_cancelled(false);
    vm.mutable_placement()->clear_disk_move();
    assign();
    EXPECT_FALSE(told_vm().has_disk_move());
  }
}

TEST_F(CoreDiskMoveTest, WhatIsWantedOfTheGuestComesFirst) {
  begin_copying();
  vm.mutable_spec()->set_power(v1::VmSpec::PAUSED);
  assign();
  EXPECT_EQ(world.count("stop_copying"), 1);
  EXPECT_EQ(world.count("pause"), 0);
  copying_ends(fail(ErrorCode::cancelled, "cancelled"));
  EXPECT_EQ(world.count("pause"), 1);
  EXPECT_EQ(told_move().phase(), Phase::FAILED);
  EXPECT_EQ(told_move().problem().code(), "superseded");
}

TEST_F(CoreDiskMoveTest, AnotherRunOfTheAgentCopiesAnew) {
  begin_copying();
  world.change("vm-1", [](auto& seen) { seen.copies_disk = true; });
  restart();
  EXPECT_EQ(world.count("copy_disk"), 1) << "what the one before began is not over";
  EXPECT_EQ(told_move().phase(), Phase::COPYING);
  world.silent.clear();
  world.change("vm-1", [](auto& seen) { seen.copies_disk = false; });
  executor.run_for(1'000);
  EXPECT_EQ(world.count("copy_disk"), 2);
  EXPECT_EQ(told_move().phase(), Phase::GIVEN);
}

TEST_F(CoreDiskMoveTest, AnotherRunOfTheAgentKnowsThatTheCopyIsUsed) {
  begin_move();
  restart();
  EXPECT_EQ(told_move().phase(), Phase::GIVEN);
  EXPECT_EQ(world.count("copy_disk"), 1);
}

TEST_F(CoreDiskMoveTest, NoOtherBootBeginsBeforeItsEndIsKnown) {
  for (const bool switched : {true, false}) {
    begin_copying();
    if (switched) world.use_copy("vm-1", "task-7");
    world.end("vm-1", v1::VmExit::CRASH);
    copying_ends(fail(ErrorCode::conflict, "it has ended meanwhile"));
    EXPECT_EQ(told_move().phase(), switched ? Phase::GIVEN : Phase::FAILED);
    EXPECT_EQ(told_move().problem().code(), switched ? "" : "vm_not_running");
    const int starts = world.count("start");
    vm.mutable_spec()->set_boot_id(switched ? "task-8" : "task-9");
    assign(10'000);
    EXPECT_EQ(world.count("start"), starts);
    EXPECT_EQ(told_vm().waiting_for(), "the move of its disk to end");
    // The manager says from which it boots.
    vm.mutable_placement()->clear_disk_move();
    vm.mutable_spec()->mutable_disks(0)->set_volume(switched ? "vol-2" : "vol-1");
    vm.mutable_spec()->mutable_disks(0)->set_serial(switched ? "vol-1" : "");
    assign(10'000);
    EXPECT_EQ(world.count("start"), starts + 1);
    EXPECT_EQ(world.definitions.back().disks[0].path, switched ? "/pool/vol-2" : "/pool/vol-1");
    EXPECT_EQ(world.definitions.back().disks[0].serial, "vol-1") << "what its guest knows it by";
    world.calls.clear();
    vm.mutable_spec()->mutable_disks(0)->set_volume("vol-1");
  }
}

TEST_F(CoreDiskMoveTest, NothingIsToldWhileNobodyKnows) {
  begin_copying();
  world.change("vm-1", [](auto& seen) { seen.state = GuestState::unknown; });
  core.reset();
  start_agent();
  assign(5'000);
  EXPECT_EQ(told_move().phase(), Phase::NONE);
}

TEST_F(CoreDiskMoveTest, ACopyThatCannotBeMadeEndsIt) {
  assign(5'000);
  ASSERT_EQ(guest(), GuestState::running);
  for (int i = 0; i < 20; ++i) {
    world.failures.emplace(
        "create_volume", Error{.code = ErrorCode::out_of_space, .summary = "the pool is full", .reason = "pool_full"});
  }
  begin_move();
  executor.run_for(600'000);
  EXPECT_EQ(told_move().phase(), Phase::FAILED);
  EXPECT_EQ(told_move().problem().code(), "pool_full");
  EXPECT_EQ(world.count("copy_disk"), 0);
}

TEST_F(CoreDiskMoveTest, AVolumeIsNotDeletedWhileItIsCopiedTo) {
  begin_copying();
  copy.mutable_meta()->mutable_deletion()->set_task_id("task-9");
  assign();
  EXPECT_EQ(world.count("delete_volume"), 0);
  vm.mutable_placement()->clear_disk_move();
  copying_ends(fail(ErrorCode::cancelled, "cancelled"));
  assign();
  EXPECT_EQ(world.count("delete_volume"), 1);
}

}  // namespace
}  // namespace gantry::host
