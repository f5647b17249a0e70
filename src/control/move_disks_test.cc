// Moves of guests with disks that the other host does not reach.
#include <gmock/gmock.h>

#include "control/move_world.h"
#include "control/pool_hosts.h"
#include "control/records.h"

namespace gantry::control {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

// "web" has its disk in the pool "default" of the manager's own host.
struct DiskWorld : MoveWorld {
  explicit DiskWorld(const std::string& pool = "default") : MoveWorld(pool) {}

  [[nodiscard]] const v1::Volume& volume(const std::string& name_or_id) const {
    static const v1::Volume kNone;
    const auto* found = find<v1::Volume>(name_or_id);
    return found == nullptr ? kNone : *found;
  }
  // Of that host alone.
  [[nodiscard]] const v1::Pool& pool_of(const std::string& host_id) const {
    for (const auto& [id, pool] : core->view().all<v1::Pool>().by_id) {
      if (pool.spec().host_id() == host_id) return pool;
    }
    return v1::Pool::default_instance();
  }
  v1::Accepted begin_move(const std::string& pool = "") {
    auto request = move_request();
    request.set_pool(pool);
    v1::Accepted accepted = accept("MoveVm", request);
    executor.run_for(1'000);
    prepare(49'153);
    return accepted;
  }
  void go() {
    tell(target, v1::VmMoveStatus::ARRIVED);
    tell(source, v1::VmMoveStatus::GIVEN);
  }
  void make_volume(const std::string& name, const std::string& pool, std::uint64_t gib) {
    auto request = volume_request();
    request.set_name(name);
    request.mutable_spec()->set_pool(pool);
    request.mutable_spec()->set_capacity_bytes(gib << 30U);
    EXPECT_EQ(ended(accept("CreateVolume", request)).state(), v1::Task::SUCCEEDED);
  }
  void make_pool(const std::string& name, const std::string& host_id) {
    v1::CreatePoolRequest request;
    request.set_name(name);
    request.mutable_spec()->set_path("/" + name);
    request.mutable_spec()->set_host_id(host_id);
    EXPECT_EQ(ended(accept("CreatePool", request)).state(), v1::Task::SUCCEEDED);
  }
  void import(const std::string& name, v1::ImageSpec::Kind kind, bool uefi = false) {
    v1::CreateImageRequest request;
    request.set_name(name);
    request.mutable_spec()->set_pool("default");
    request.mutable_spec()->set_url("https://example.org/" + name);
    request.mutable_spec()->set_sha256(std::string(64, '0'));
    request.mutable_spec()->set_kind(kind);
    request.mutable_spec()->set_uefi(uefi);
    EXPECT_EQ(ended(accept("CreateImage", request)).state(), v1::Task::SUCCEEDED);
  }
  void relaunch(const v1::CreateVmRequest& request) {
    v1::DeleteVmRequest deletion;
    deletion.set_id("web");
    EXPECT_EQ(ended(accept("DeleteVm", deletion)).state(), v1::Task::SUCCEEDED);
    EXPECT_EQ(ended(accept("CreateVm", request)).state(), v1::Task::SUCCEEDED);
    source = vm().placement().host_id();
    target = source == kHostId ? beta : kHostId;
  }
};

TEST(MoveDisks, ThePoolThatTheLeaseGoesToIsInUse) {
  v1::Vm vm;
  vm.mutable_placement()->mutable_move()->set_lease_pool("pool-1");
  EXPECT_THAT(references(vm), testing::Contains("pool-1"));
}

TEST(MoveDisks, WhatTheTargetDoesNotReachGoesWithTheGuest) {
  DiskWorld world;
  const std::string old_id = world.vm().spec().disks(0).volume();
  const std::string old_pool = world.pool_of(world.source).meta().id();
  const std::string new_pool = world.pool_of(world.target).meta().id();
  const v1::Accepted accepted = world.begin_move();
  EXPECT_THAT(accepted.plan().ShortDebugString(), HasSubstr("copy volume web-disk0 (1 GiB) to pool"));
  ASSERT_EQ(world.move().disks_size(), 1);
  EXPECT_EQ(world.move().disks(0).volume(), old_id);
  const std::string copy_id = world.move().disks(0).copy();
  EXPECT_EQ(world.volume(copy_id).spec().pool(), new_pool);
  EXPECT_EQ(world.volume(copy_id).spec().copy_of(), old_id);
  EXPECT_TRUE(world.fake(world.target).has(copy_id)) << "it is made there as any volume is";
  // Each of the two is told the disks that it has.
  EXPECT_EQ(world.last_sent(world.source).spec().disks(0).volume(), old_id);
  EXPECT_EQ(world.last_sent(world.source).spec().lease_pool(), old_pool);
  const v1::VmSpec there = world.last_sent(world.target).spec();
  EXPECT_EQ(there.disks(0).volume(), copy_id);
  EXPECT_EQ(there.disks(0).serial(), old_id) << "the guest knows its disk by that";
  EXPECT_EQ(there.lease_pool(), new_pool);
  EXPECT_EQ(world.last_sent(world.source).placement().move().target().address().disk_port(), 49'153U);

  world.fake(world.source).asleep = true;
  world.tell(world.target, v1::VmMoveStatus::ARRIVED);
  world.fake(world.source).asleep = false;
  world.fake(world.source).tell_of_move(world.vm(), world.word(v1::VmMoveStatus::GIVEN));
  world.fake(world.source).asleep = true;
  world.fake(world.target).moves.clear();
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.vm().spec().disks(0).volume(), copy_id);
  EXPECT_EQ(world.vm().spec().lease_pool(), new_pool);
  EXPECT_EQ(world.volume("web-disk0").meta().id(), copy_id);
  EXPECT_EQ(world.volume("web-disk0").spec().copy_of(), "");
  EXPECT_TRUE(world.volume(old_id).meta().has_deletion());
  // Whoever was left has a lease of no use any more, and is told where.
  const v1::Vm left = world.last_sent(world.source);
  EXPECT_EQ(left.placement().left_hosts(0).lease_pool(), old_pool);
  EXPECT_EQ(left.spec().lease_pool(), old_pool);

  world.fake(world.source).asleep = false;
  world.fake(world.source).connect();
  world.executor.run_for(10'000);
  EXPECT_EQ(world.volume(old_id).meta().id(), "") << "it is gone";
  EXPECT_FALSE(world.fake(world.source).has(old_id));
  EXPECT_THAT(world.placement().left_hosts(), IsEmpty());
  EXPECT_EQ(world.core->view().all<v1::Volume>().by_id.size(), 1U);
}

TEST(MoveDisks, OfAMoveThatCameToNothingNoCopyIsLeft) {
  DiskWorld world;
  const std::string old_id = world.vm().spec().disks(0).volume();
  const v1::Accepted accepted = world.begin_move();
  const std::string copy_id = world.move().disks(0).copy();
  const std::string new_pool = world.pool_of(world.target).meta().id();
  world.fake(world.target).asleep = true;
  world.tell(world.source, v1::VmMoveStatus::FAILED);
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::FAILED);
  EXPECT_TRUE(world.volume(copy_id).meta().has_deletion());
  EXPECT_EQ(world.last_sent(world.target).spec().lease_pool(), new_pool);
  EXPECT_EQ(world.last_sent(world.target).placement().left_hosts(0).lease_pool(), new_pool);
  EXPECT_EQ(world.vm().spec().disks(0).volume(), old_id);
  EXPECT_EQ(world.vm().spec().lease_pool(), world.pool_of(world.source).meta().id());
  world.fake(world.target).asleep = false;
  world.fake(world.target).connect();
  world.executor.run_for(10'000);
  EXPECT_FALSE(world.fake(world.target).has(copy_id));
  EXPECT_EQ(world.volume("web-disk0").meta().id(), old_id);
  EXPECT_EQ(world.core->view().all<v1::Volume>().by_id.size(), 1U);
  EXPECT_THAT(world.placement().left_hosts(), IsEmpty());
}

TEST(MoveDisks, OfADeletedVmNoneIsLeft) {
  DiskWorld world;
  world.begin_move();
  v1::DeleteVmRequest request;
  request.set_id("web");
  EXPECT_EQ(world.ended(world.accept("DeleteVm", request)).state(), v1::Task::SUCCEEDED);
  world.executor.run_for(10'000);
  EXPECT_THAT(world.core->view().all<v1::Volume>().by_id, IsEmpty());
}

TEST(MoveDisks, NobodyChangesADiskThatIsOnItsWay) {
  DiskWorld world;
  world.begin_move();
  const std::string copy = world.volume(world.move().disks(0).copy()).meta().name();
  for (const std::string& name : {std::string("web-disk0"), copy}) {
    v1::ResizeVolumeRequest request;
    request.set_id(name);
    request.set_capacity_bytes(2ULL << 30U);
    EXPECT_EQ(world.refused("ResizeVolume", request), "volume_moving") << name;
    EXPECT_EQ(world.refused("DeleteVolume", World::by_id(name)), "volume_moving") << name;
  }
}

TEST(MoveDisks, ADiskThatBothReachStaysWhereItIs) {
  DiskWorld world("shared");
  auto request = MoveWorld::move_request();
  request.set_pool(world.pool_of(world.target).meta().name());
  const v1::Accepted accepted = world.accept("MoveVm", request);
  EXPECT_THAT(accepted.plan().ShortDebugString(), HasSubstr("nothing goes to pool"));
  EXPECT_THAT(world.move().disks(), IsEmpty());
  EXPECT_EQ(world.move().lease_pool(), "");
}

TEST(MoveDisks, OneOfTwoGoesAndTheLeaseStaysWhereBothReachIt) {
  DiskWorld world;
  auto request = MoveWorld::vm_there("web", "shared");
  *request.mutable_spec()->add_disks() = MoveWorld::vm_there("web", "default").spec().disks(0);
  world.relaunch(request);
  world.begin_move();
  ASSERT_EQ(world.move().disks_size(), 1);
  EXPECT_EQ(world.move().disks(0).volume(), world.vm().spec().disks(1).volume());
  EXPECT_EQ(world.move().lease_pool(), "");
  EXPECT_EQ(world.last_sent(world.target).spec().disks(0).volume(), world.vm().spec().disks(0).volume());
}

TEST(MoveDisks, TheCopyGoesToThePoolThatIsAskedFor) {
  DiskWorld world;
  const v1::Accepted accepted = world.begin_move("shared");
  const std::string copy_id = world.move().disks(0).copy();
  EXPECT_EQ(world.volume(copy_id).spec().pool(), world.find<v1::Pool>("shared")->meta().id());
  EXPECT_EQ(world.volume(copy_id).keeper().host_id(), world.target);
  world.executor.run_for(60'000);
  EXPECT_EQ(world.volume(copy_id).keeper().host_id(), world.target) << "who fills it";
  world.go();
  world.fake(world.target).moves.clear();
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.volume("web-disk0").meta().id(), copy_id);
  auto back = MoveWorld::move_request();
  back.set_pool("nowhere");
  EXPECT_EQ(world.refused("MoveVm", back), "not_found");
}

TEST(MoveDisks, ALeaseOnASharedPoolIsNeverTakenAway) {
  DiskWorld world;
  const v1::Accepted accepted = world.begin_move("shared");
  EXPECT_EQ(world.move().lease_pool(), world.find<v1::Pool>("shared")->meta().id());
  world.fake(world.target).asleep = true;
  world.tell(world.source, v1::VmMoveStatus::FAILED);
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::FAILED);
  ASSERT_EQ(world.placement().left_hosts_size(), 1);
  EXPECT_EQ(world.placement().left_hosts(0).lease_pool(), "") << "the guest may come there by another host meanwhile";
}

TEST(MoveDisks, ThePoolWithRoomIsChosenAndWithoutAnyItIsRefused) {
  DiskWorld world;
  const std::string first = world.pool_of(world.target).meta().name();
  world.make_volume("fills", first, 200);
  world.make_volume("fills-all", "shared", 200);
  EXPECT_THAT(world.why_not(MoveWorld::move_request()),
              AllOf(HasSubstr("no_host_fits"), HasSubstr("its pool " + first + " cannot promise 1 GiB more")));
  world.make_pool("roomy", world.target);
  world.accept("MoveVm", MoveWorld::move_request());
  EXPECT_EQ(world.move().lease_pool(), world.find<v1::Pool>("roomy")->meta().id());
}

TEST(MoveDisks, APoolOfAnotherHostIsRefused) {
  DiskWorld world;
  auto request = MoveWorld::move_request();
  request.set_pool("default");
  EXPECT_THAT(world.why_not(request), HasSubstr("pool default is not on it"));
}

TEST(MoveDisks, ADiskThatIsReadOnlyIsNotCopied) {
  DiskWorld world;
  auto request = MoveWorld::vm_there("web", "default");
  request.mutable_spec()->mutable_disks(0)->set_read_only(true);
  world.relaunch(request);
  EXPECT_THAT(world.why_not(MoveWorld::move_request()), HasSubstr("a disk that is read only is not copied"));
}

TEST(MoveDisks, ItGoesWithoutTheImageThatItsDiskWasMadeFrom) {
  DiskWorld world;
  world.import("web-os", v1::ImageSpec::DISK, true);
  auto request = MoveWorld::vm_there("web", "default");
  request.mutable_spec()->clear_disks();
  request.mutable_spec()->set_image("web-os");
  world.relaunch(request);
  const v1::Accepted accepted = world.begin_move();
  EXPECT_THAT(accepted.plan().ShortDebugString(), HasSubstr("will not name its image any more"));
  const std::string copy_id = world.move().disks(0).copy();
  EXPECT_EQ(world.volume(copy_id).spec().image(), "") << "all that it has is copied";
  EXPECT_EQ(world.volume(copy_id).spec().capacity_bytes(), 2ULL << 30U);
  EXPECT_NE(world.last_sent(world.source).spec().image(), "");
  EXPECT_EQ(world.last_sent(world.target).spec().image(), "");
  EXPECT_EQ(world.last_sent(world.target).spec().firmware(), v1::VmSpec::UEFI);
  world.go();
  world.fake(world.target).moves.clear();
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.vm().spec().image(), "");
  EXPECT_EQ(world.vm().spec().firmware(), v1::VmSpec::UEFI);
  world.executor.run_for(10'000);
  EXPECT_EQ(world.ended(world.accept("DeleteImage", World::by_id("web-os"))).state(), v1::Task::SUCCEEDED);
}

TEST(MoveDisks, AKernelThatOnlyItsHostHasIsNamed) {
  DiskWorld world;
  world.import("linux", v1::ImageSpec::KERNEL);
  auto request = MoveWorld::vm_there("web", "shared");
  request.mutable_spec()->set_image("linux");
  world.relaunch(request);
  EXPECT_THAT(world.why_not(MoveWorld::move_request()), HasSubstr("it does not reach image linux, the kernel"));
}

}  // namespace
}  // namespace gantry::control
