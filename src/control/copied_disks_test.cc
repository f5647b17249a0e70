// Copies of volumes: how they are made, take another's place, and go again.
#include "control/copied_disks.h"

#include <gmock/gmock.h>

#include "control/test_world.h"

namespace gantry::control {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

// The VM "web" with its disk "web-disk0" in pool "default", and the pool "other".
struct CopyWorld : World {
  Rng rng{5};
  port::CallOptions call_options{.actor = "admin"};

  CopyWorld() {
    make_image();
    make_vm();
    v1::CreatePoolRequest pool;
    pool.set_name("other");
    pool.mutable_spec()->set_path("/other");
    EXPECT_EQ(ended(accept("CreatePool", pool)).state(), v1::Task::SUCCEEDED);
  }

  [[nodiscard]] const v1::Volume& volume(const std::string& name) const {
    static const v1::Volume kNone;
    const auto* found = find<v1::Volume>(name);
    return found == nullptr ? kNone : *found;
  }
  void commit(const Draft& draft) {
    EXPECT_EQ(store.write(draft.build()).outcome, port::CommitOutcome::committed);
    executor.run_for(1'000);
  }
  // As the move of a disk has it.
  v1::CopiedDisk begin_copy() {
    Draft draft(core->view());
    Change change(draft, call_options, executor.now(), rng);
    const auto disk = make_copy(change, volume("web-disk0"), *find<v1::Pool>("other"), kHostId);
    EXPECT_TRUE(disk) << disk.error().to_text();
    *change.draft.edit<v1::Vm>(vm().meta().id()).mutable_placement()->mutable_disk_move()->mutable_disk() = *disk;
    commit(change.draft);
    return *disk;
  }
  void end_copy(const v1::CopiedDisk& disk, bool switches) {
    Draft draft(core->view());
    v1::Vm& edited = draft.edit<v1::Vm>(vm().meta().id());
    edited.mutable_placement()->clear_disk_move();
    if (switches) {
      switch_to_copy(draft, edited, disk, "task-1", executor.now());
    } else {
      drop_copy(draft, disk, "task-1", executor.now());
    }
    commit(draft);
  }
};

TEST(CopiedDisks, ACopyIsAsLargeBlankAndNobodysToUse) {
  CopyWorld world;
  const v1::CopiedDisk disk = world.begin_copy();
  const v1::Volume& copy = world.volume("web-disk0-copy");
  EXPECT_EQ(copy.meta().id(), disk.copy());
  EXPECT_EQ(copy.spec().copy_of(), world.volume("web-disk0").meta().id());
  EXPECT_EQ(copy.spec().capacity_bytes(), world.volume("web-disk0").status().capacity_bytes());
  EXPECT_EQ(copy.spec().owner_vm_id(), world.vm().meta().id());
  EXPECT_EQ(copy.spec().pool(), world.find<v1::Pool>("other")->meta().id());
  EXPECT_THAT(copy.spec().image(), IsEmpty());
  EXPECT_EQ(copy.status().state(), v1::VolumeStatus::READY) << "its host made it";
  for (const char* name : {"web-disk0", "web-disk0-copy"}) {
    v1::ResizeVolumeRequest resize;
    resize.set_id(name);
    resize.set_capacity_bytes(8ULL << 30U);
    EXPECT_EQ(world.refused("ResizeVolume", resize), "volume_moving") << name;
    EXPECT_EQ(world.refused("DeleteVolume", World::by_id(name)), "volume_moving") << name;
    v1::CreateVmRequest use;
    use.set_name("thief");
    use.mutable_spec()->add_disks()->set_volume(name);
    EXPECT_THAT(world.refused("CreateVm", use), HasSubstr("volume_")) << name;
  }
  Draft draft(world.core->view());
  Change again(draft, world.call_options, world.executor.now(), world.rng);
  EXPECT_FALSE(make_copy(again, world.volume("web-disk0"), *world.find<v1::Pool>("other"), kHostId));
}

TEST(CopiedDisks, TheCopyTakesThePlaceAndTheName) {
  CopyWorld world;
  const v1::CopiedDisk disk = world.begin_copy();
  world.host.asleep = true;
  world.end_copy(disk, true);
  EXPECT_EQ(world.volume("web-disk0").meta().id(), disk.copy());
  EXPECT_EQ(world.volume("web-disk0").spec().copy_of(), "");
  EXPECT_EQ(world.volume("web-disk0-copy").meta().id(), disk.volume());
  EXPECT_EQ(world.volume("web-disk0-copy").meta().deletion().task_id(), "task-1");
  EXPECT_EQ(world.vm().spec().disks(0).volume(), disk.copy());
  EXPECT_EQ(world.vm().spec().disks(0).serial(), disk.volume()) << "its guest knows it by that";
  world.restart();
  world.executor.run_for(1'000);
  EXPECT_EQ(world.volume("web-disk0").meta().id(), disk.copy());
  world.host.asleep = false;
  world.executor.run_for(60'000);
  EXPECT_EQ(world.find<v1::Volume>("web-disk0-copy"), nullptr);
  // The name that the other had with it is free, and its own is not.
  v1::CreateVolumeRequest request = World::volume_request();
  request.set_name("web-disk0-copy");
  EXPECT_EQ(world.refused("CreateVolume", request), "");
  request.set_name("web-disk0");
  EXPECT_EQ(world.refused("CreateVolume", request), "already_exists");
}

TEST(CopiedDisks, ACopyThatNothingCameOfIsDeleted) {
  CopyWorld world;
  const v1::CopiedDisk disk = world.begin_copy();
  world.end_copy(disk, false);
  EXPECT_EQ(world.find<v1::Volume>("web-disk0-copy"), nullptr);
  EXPECT_EQ(world.volume("web-disk0").meta().id(), disk.volume());
  EXPECT_EQ(world.vm().spec().disks(0).volume(), disk.volume());
  EXPECT_EQ(world.vm().spec().disks(0).serial(), "");
}

TEST(Drafts, ARenamedRecordGivesItsNameAway) {
  World world;
  ASSERT_EQ(world.ended(world.accept("CreateVolume", World::volume_request())).state(), v1::Task::SUCCEEDED);
  Draft draft(world.core->view());
  draft.edit<v1::Volume>(world.find<v1::Volume>("data")->meta().id()).mutable_meta()->set_name("renamed");
  ASSERT_EQ(world.store.write(draft.build()).outcome, port::CommitOutcome::committed);
  world.executor.run_for(1'000);
  EXPECT_EQ(world.find<v1::Volume>("data"), nullptr);
  ASSERT_NE(world.find<v1::Volume>("renamed"), nullptr);
  EXPECT_EQ(world.refused("CreateVolume", World::volume_request()), "");
}

}  // namespace
}  // namespace gantry::control
