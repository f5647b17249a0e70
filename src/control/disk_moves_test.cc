// Moves of disks to other pools: what each word of the host leads to, and what is refused.
#include "control/disk_moves.h"

#include <gmock/gmock.h>

#include "control/test_world.h"

namespace gantry::control {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

// The VM "web" with its disk "web-disk0" in pool "default", and the pool "other" on the same host.
struct DiskMoveWorld : World {
  std::string old_id;

  DiskMoveWorld() {
    make_image();
    make_vm();
    make_pool("other", "");
    old_id = vm().spec().disks(0).volume();
  }

  void make_pool(const std::string& name, const std::string& host_id) {
    v1::CreatePoolRequest pool;
    pool.set_name(name);
    pool.mutable_spec()->set_path("/" + name);
    pool.mutable_spec()->set_host_id(host_id);
    EXPECT_EQ(ended(accept("CreatePool", pool)).state(), v1::Task::SUCCEEDED);
  }
  static v1::MoveVolumeRequest request(const std::string& volume = "web-disk0", const std::string& pool = "other") {
    v1::MoveVolumeRequest request;
    request.set_id(volume);
    request.set_pool(pool);
    return request;
  }
  v1::Accepted begin() {
    v1::Accepted accepted = accept("MoveVolume", request());
    executor.run_for(1'000);
    return accepted;
  }
  [[nodiscard]] const v1::VmDiskMove& move() const { return vm().placement().disk_move(); }
  void tell(v1::VmMoveStatus status) {
    if (status.task_id().empty()) status.set_task_id(move().task_id());
    host.tell_of_disk_move(vm(), status);
    executor.run_for(2'000);
  }
  void tell(v1::VmMoveStatus::Phase phase) {
    v1::VmMoveStatus status;
    status.set_phase(phase);
    tell(status);
  }
  std::string why_not(const v1::MoveVolumeRequest& wanted) {
    const auto answer = call("MoveVolume", wanted);
    return answer ? "it is accepted" : answer.error().word() + ": " + answer.error().cause;
  }
  [[nodiscard]] std::string pool_of(const std::string& volume) const {
    const auto* found = find<v1::Volume>(volume);
    return found == nullptr ? "" : core->view().find<v1::Pool>(found->spec().pool())->meta().name();
  }
};

TEST(DiskMove, TheLeaseOfAnOldRecordStaysInItsPool) {
  DiskMoveWorld world;
  Draft old(world.core->view());
  old.edit<v1::Vm>(world.vm().meta().id()).mutable_spec()->clear_lease_pool();
  ASSERT_EQ(world.store.write(old.build()).outcome, port::CommitOutcome::committed);
  world.executor.run_for(1'000);
  world.begin();
  EXPECT_EQ(world.vm().spec().lease_pool(), world.find<v1::Pool>("default")->meta().id());
}

TEST(DiskMove, GoesStepByStep) {
  DiskMoveWorld world;
  const v1::Accepted accepted = world.begin();
  const std::string task_id = accepted.task().meta().id();
  EXPECT_EQ(accepted.task().action(), "volume.move");
  EXPECT_EQ(accepted.plan().steps_size(), 3);
  EXPECT_EQ(world.move().task_id(), task_id);
  EXPECT_EQ(world.move().disk().volume(), world.old_id);
  EXPECT_EQ(world.pool_of("web-disk0-copy"), "other");
  EXPECT_THAT(world.task(task_id).progress().phase(), HasSubstr("to begin"));

  v1::VmMoveStatus copying;
  copying.set_phase(v1::VmMoveStatus::COPYING);
  copying.mutable_progress()->set_phase("copying the disk");
  copying.mutable_progress()->set_percent(40);
  copying.mutable_progress()->set_measurable(true);
  world.tell(copying);
  EXPECT_EQ(world.task(task_id).progress().percent(), 40U);
  EXPECT_EQ(world.task(task_id).progress().phase(), "copying the disk");
  EXPECT_EQ(world.vm().spec().disks(0).volume(), world.old_id);

  world.tell(v1::VmMoveStatus::GIVEN);
  const v1::Task task = world.ended(accepted);
  EXPECT_EQ(task.state(), v1::Task::SUCCEEDED) << task.ShortDebugString();
  EXPECT_FALSE(world.vm().placement().has_disk_move());
  EXPECT_NE(world.vm().spec().disks(0).volume(), world.old_id);
  EXPECT_EQ(world.pool_of("web-disk0"), "other");
  EXPECT_EQ(world.find<v1::Volume>(world.old_id), nullptr) << "its file is gone, and then its record";
}

TEST(DiskMove, ThatFailsLeavesTheDiskWhereItIs) {
  DiskMoveWorld world;
  const v1::Accepted accepted = world.begin();
  v1::VmMoveStatus failed;
  failed.set_phase(v1::VmMoveStatus::FAILED);
  failed.mutable_problem()->set_code("copy_failed");
  failed.mutable_problem()->set_summary("the pool is full");
  world.tell(failed);
  const v1::Task task = world.ended(accepted);
  EXPECT_EQ(task.state(), v1::Task::FAILED);
  EXPECT_EQ(task.problem().code(), "copy_failed");
  EXPECT_FALSE(world.vm().placement().has_disk_move());
  EXPECT_EQ(world.vm().spec().disks(0).volume(), world.old_id);
  EXPECT_EQ(world.pool_of("web-disk0"), "default");
  EXPECT_EQ(world.find<v1::Volume>("web-disk0-copy"), nullptr);
  // And can be tried again, of which the old word says nothing.
  const v1::Accepted again = world.begin();
  world.executor.run_for(5'000);
  EXPECT_FALSE(model::is_ended(world.task(again.task().meta().id()).state()));
}

TEST(DiskMove, TheCopyIsDeletedOnlyWhenNoRunOfTheAgentCanBeginAnew) {
  DiskMoveWorld world;
  const v1::Accepted accepted = world.begin();
  world.host.asleep = true;
  world.tell(v1::VmMoveStatus::FAILED);
  EXPECT_TRUE(world.move().cancelled());
  EXPECT_FALSE(world.find<v1::Volume>("web-disk0-copy")->meta().has_deletion());
  EXPECT_FALSE(model::is_ended(world.task(accepted.task().meta().id()).state()));
  world.host.asleep = false;
  world.host.connect();
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::FAILED);
  world.executor.run_for(2'000);
  EXPECT_EQ(world.find<v1::Volume>("web-disk0-copy"), nullptr);
}

TEST(DiskMove, ACancelIsAWishThatItsHostHears) {
  for (const bool in_time : {true, false}) {
    DiskMoveWorld world;
    const v1::Accepted accepted = world.begin();
    const std::string task_id = accepted.task().meta().id();
    ASSERT_TRUE(world.call("CancelTask", World::by_id(task_id)));
    world.executor.run_for(1'000);
    EXPECT_TRUE(world.move().cancelled());
    EXPECT_FALSE(model::is_ended(world.task(task_id).state()));
    world.tell(in_time ? v1::VmMoveStatus::FAILED : v1::VmMoveStatus::GIVEN);
    EXPECT_EQ(world.ended(accepted).state(), in_time ? v1::Task::CANCELLED : v1::Task::SUCCEEDED);
    EXPECT_EQ(world.pool_of("web-disk0"), in_time ? "default" : "other");
  }
}

TEST(DiskMove, CannotBeCancelledOnceTheCopyIsUsed) {
  DiskMoveWorld world;
  const v1::Accepted accepted = world.begin();
  v1::VmMoveStatus given;
  given.set_phase(v1::VmMoveStatus::GIVEN);
  given.set_task_id(world.move().task_id());
  world.host.problems["web-disk0"].set_summary("its file cannot be deleted");
  world.host.tell_of_disk_move(world.vm(), given);
  world.host.asleep = true;
  world.executor.run_for(2'000);
  EXPECT_EQ(world.refused("CancelTask", World::by_id(accepted.task().meta().id())), "cannot_cancel");
}

TEST(DiskMove, OnlyItsHostsWordEndsIt) {
  DiskMoveWorld world;
  const v1::Accepted accepted = world.begin();
  v1::VmMoveStatus of_another;
  of_another.set_phase(v1::VmMoveStatus::GIVEN);
  of_another.set_task_id("task-of-before");
  world.tell(of_another);
  EXPECT_TRUE(world.vm().placement().has_disk_move());
  world.host.disk_moves.clear();
  world.accept("StopVm", World::stop_request());
  world.accept("StartVm", World::by_id("web"));
  world.restart();
  world.executor.run_for(60'000);
  EXPECT_TRUE(world.vm().placement().has_disk_move());
  world.tell(v1::VmMoveStatus::GIVEN);
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED);
}

TEST(DiskMove, OfAVmThatIsDeletedLeavesNothing) {
  DiskMoveWorld world;
  const v1::Accepted accepted = world.begin();
  v1::DeleteVmRequest remove;
  remove.set_id("web");
  remove.set_keep_volumes(true);
  EXPECT_EQ(world.refused("DeleteVm", remove), "volume_moving") << "which of the two is to be kept?";
  remove.set_keep_volumes(false);
  const v1::Accepted deletion = world.accept("DeleteVm", remove);
  EXPECT_EQ(world.ended(deletion).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::CANCELLED);
  EXPECT_THAT(world.core->view().all<v1::Volume>().by_id, IsEmpty());
}

// Its creation is still under way for whoever looks, as when both came at once.
TEST(DiskMove, OfADiskThatStaysIsNotOverWhenTheVmsCreationIsTakenBack) {
  DiskMoveWorld world;
  world.begin();
  Draft late(world.core->view());
  const std::string create_id = world.vm().spec().boot_id();
  late.edit<v1::Task>(create_id).set_state(v1::Task::RUNNING);
  late.edit<v1::Volume>(world.old_id).mutable_spec()->clear_owner_vm_id();
  late.edit<v1::Vm>(world.vm().meta().id()).mutable_status()->set_state(v1::VmStatus::STARTING);
  ASSERT_EQ(world.store.write(late.build()).outcome, port::CommitOutcome::committed);
  world.host.asleep = true;
  world.executor.run_for(1);
  const auto answer = world.call("CancelTask", World::by_id(create_id));
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().cause, HasSubstr("goes to another pool"));
  EXPECT_FALSE(world.vm().meta().has_deletion());
}

TEST(DiskMove, NothingElseIsDoneWithTheVmMeanwhile) {
  DiskMoveWorld world;
  world.begin();
  v1::MoveVmRequest move;
  move.set_id("web");
  EXPECT_EQ(world.refused("MoveVm", move), "vm_moving");
  EXPECT_EQ(world.refused("MoveVolume", DiskMoveWorld::request()), "volume_moving");
  EXPECT_EQ(world.refused("DeletePool", World::by_id("other")), "pool_not_empty");
}

TEST(DiskMove, IsRefusedWithItsReason) {
  DiskMoveWorld world;
  EXPECT_THAT(world.why_not(DiskMoveWorld::request("nothing")), HasSubstr("not_found"));
  EXPECT_THAT(world.why_not(DiskMoveWorld::request("web-disk0", "nowhere")), HasSubstr("not_found"));
  EXPECT_THAT(world.why_not(DiskMoveWorld::request("web-disk0", "default")), HasSubstr("already_there"));
  world.accept("CreateVolume", World::volume_request());
  EXPECT_THAT(world.why_not(DiskMoveWorld::request("data")), HasSubstr("it is a disk of no VM"));
  const std::string beta = world.join("beta");
  EXPECT_THAT(world.why_not(DiskMoveWorld::request("web-disk0", "default-beta")), HasSubstr("does not have pool"));
  ASSERT_EQ(world.ended(world.accept("PauseVm", World::by_id("web"))).state(), v1::Task::SUCCEEDED);
  EXPECT_THAT(world.why_not(DiskMoveWorld::request()), HasSubstr("vm_paused"));
  ASSERT_EQ(world.ended(world.accept("StopVm", World::stop_request())).state(), v1::Task::SUCCEEDED);
  EXPECT_THAT(world.why_not(DiskMoveWorld::request()), HasSubstr("vm_not_running"));
}

TEST(DiskMove, IsRefusedWhereThereIsNoRoom) {
  DiskMoveWorld world;
  v1::CreateVolumeRequest large;
  large.set_name("large");
  large.mutable_spec()->set_pool("other");
  large.mutable_spec()->set_capacity_bytes(199ULL << 30U);
  ASSERT_EQ(world.ended(world.accept("CreateVolume", large)).state(), v1::Task::SUCCEEDED);
  EXPECT_THAT(world.why_not(DiskMoveWorld::request()), HasSubstr("pool_full"));
}

TEST(DiskMove, ThePoolOfTheLeaseStays) {
  DiskMoveWorld world;
  v1::DeleteVmRequest remove;
  remove.set_id("web");
  ASSERT_EQ(world.ended(world.accept("DeleteVm", remove)).state(), v1::Task::SUCCEEDED);
  ASSERT_EQ(world.ended(world.accept("DeleteImage", World::by_id("debian-12"))).state(), v1::Task::SUCCEEDED);
  v1::CreateVmRequest blank;
  blank.set_name("web");
  blank.mutable_spec()->add_disks()->mutable_create()->set_capacity_bytes(1ULL << 30U);
  ASSERT_EQ(world.ended(world.accept("CreateVm", blank)).state(), v1::Task::SUCCEEDED);
  const v1::Accepted accepted = world.begin();
  world.tell(v1::VmMoveStatus::GIVEN);
  ASSERT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.refused("DeletePool", World::by_id("default")), "pool_not_empty") << "its guest would be frozen";
}

}  // namespace
}  // namespace gantry::control
