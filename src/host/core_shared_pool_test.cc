// What an agent does, and what not, in a pool that other hosts have too.
#include "host/test_fixture.h"

namespace gantry::host {
namespace {

class CoreSharedPoolTest : public CoreWithVmTest {
 protected:
  CoreSharedPoolTest() {
    pool.mutable_spec()->clear_host_id();
    pool.mutable_spec()->set_shared(true);
    keep(image, "host-1", 1);
    keep(volume, "host-1", 1);
  }

  template <class Record>
  static void keep(Record& record, const std::string& host_id, std::uint64_t epoch) {
    record.mutable_keeper()->set_host_id(host_id);
    record.mutable_keeper()->set_epoch(epoch);
  }
  v1::ToHost assignments() {
    v1::ToHost message;
    *message.add_assignments()->mutable_pool() = pool;
    *message.add_assignments()->mutable_network() = network;
    *message.add_assignments()->mutable_image() = image;
    message.mutable_assignments(2)->set_look_only(image.keeper().host_id() != "host-1");
    *message.add_assignments()->mutable_volume() = volume;
    message.mutable_assignments(3)->set_look_only(volume.keeper().host_id() != "host-1");
    *message.add_assignments()->mutable_vm() = vm;
    message.set_complete(true);
    return message;
  }
  void send(Milliseconds for_ms = 1'000) {
    link.receive(assignments());
    executor.run_for(for_ms);
  }
};

TEST_F(CoreSharedPoolTest, TheKeeperDoesAsInAPoolOfItsOwn) {
  send();
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
  ASSERT_FALSE(world.volume_requests.empty());
  EXPECT_EQ(world.volume_requests.back().pool.shared_id, "pool-1");
  EXPECT_EQ(world.volume_requests.back().pool.worker, "host-1");
  EXPECT_NE(world.volume_requests.back().uid, 0U);
  EXPECT_TRUE(world.pools.front().is_new);
}

TEST_F(CoreSharedPoolTest, OneOfCephIsReachedByWhatStandsForItsPath) {
  v1::PoolSpec& spec = *pool.mutable_spec();
  spec.set_driver(v1::PoolSpec::RBD);
  spec.clear_path();
  spec.mutable_rbd()->set_pool("vms");
  spec.mutable_rbd()->set_namespace_("blue");
  spec.mutable_rbd()->set_user("gantry");
  spec.mutable_rbd()->set_key("key");
  send();
  const std::string place = "rbd:gantry@vms/blue/:/var/lib/gantry/ceph/pool-1.conf";
  ASSERT_FALSE(world.volume_requests.empty());
  EXPECT_EQ(world.pools.front().path, place);
  EXPECT_EQ(world.pools.front().rbd.key(), "key");
  EXPECT_EQ(world.volume_requests.back().pool.path, place);
  ASSERT_FALSE(world.lease_wishes.empty());
  EXPECT_EQ(world.lease_wishes.begin()->second.directory, place);
}

TEST_F(CoreSharedPoolTest, APoolThatWasReadyAnywhereIsNotMadeAnew) {
  pool.mutable_status()->set_state(v1::PoolStatus::READY);
  pool.mutable_status()->add_hosts()->set_host_id("host-2");
  world.failures.emplace("inspect_pool", Error{ErrorCode::unavailable, "not mounted"});
  send();
  EXPECT_FALSE(world.pools.front().is_new);
  EXPECT_EQ(told_pool().state(), v1::PoolStatus::FAILED);
  EXPECT_EQ(told_pool().hosts_size(), 0) << "it tells of itself alone";
}

TEST_F(CoreSharedPoolTest, OneOfOtherHostsIsNotTakenIn) {
  pool.mutable_spec()->add_hosts("host-2");
  send();
  EXPECT_EQ(world.count("inspect_pool"), 0);
}

TEST_F(CoreSharedPoolTest, WhoOnlyLooksWaitsForTheKeeperAndTouchesNothing) {
  keep(image, "host-2", 1);
  keep(volume, "host-2", 1);
  send(60'000);
  EXPECT_EQ(world.count("import_image") + world.count("create_volume") + world.count("resize_volume"), 0);
  EXPECT_GT(world.count("inspect_image"), 10) << "it may come any time";
  EXPECT_FALSE(link.told.contains("img-1"));
  EXPECT_FALSE(link.told.contains("vol-1"));
  EXPECT_EQ(told_vm().state(), v1::VmStatus::PROVISIONING);
  // It is there, but another may be about to grow it.
  world.images.insert("img-1");
  world.volumes["vol-1"] = 50;
  executor.run_for(10'000);
  EXPECT_EQ(world.count("start") + world.count("resize_volume"), 0);
  EXPECT_EQ(world.volume_requests.back().uid, 0U) << "it stays whose it is";
  EXPECT_TRUE(world.image_requests.back().look_only);
  const int looks = world.count("inspect_volume");
  // Now it is this host's.
  keep(volume, "host-1", 2);
  send();
  EXPECT_GT(world.count("inspect_volume"), looks) << "with fresh eyes";
  EXPECT_EQ(world.volumes["vol-1"], 100U);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
}

TEST_F(CoreSharedPoolTest, WhoOnlyLooksDeletesNothing) {
  send();
  keep(image, "host-2", 2);
  keep(volume, "host-2", 2);
  delete_both();
  image.mutable_meta()->mutable_deletion()->set_task_id("task-9");
  send(10'000);
  EXPECT_EQ(world.count("delete_volume") + world.count("delete_image"), 0);
  EXPECT_FALSE(link.told["vol-1"].absent());
}

TEST_F(CoreSharedPoolTest, AnEarlierKeeperIsRefused) {
  keep(volume, "host-2", 3);
  send();
  keep(volume, "host-1", 2);
  send(10'000);
  EXPECT_EQ(world.count("create_volume"), 0) << "the message was late";
  // What contradicts itself, too.
  keep(volume, "host-2", 4);
  v1::ToHost message = assignments();
  message.mutable_assignments(3)->set_look_only(false);
  link.receive(message);
  executor.run_for(10'000);
  EXPECT_EQ(world.count("create_volume"), 0);
}

TEST_F(CoreSharedPoolTest, AnImportThatIsTakenAwayIsNotTold) {
  world.silent.insert("import_image");
  send();
  ASSERT_EQ(world.count("import_image"), 1);
  keep(image, "host-2", 2);
  link.told.clear();
  send(60'000);
  EXPECT_FALSE(link.told.contains("img-1"));
  EXPECT_EQ(world.count("delete_image"), 0);
}

// What another host made may take its time to be seen here.
TEST_F(CoreSharedPoolTest, WhatWasMadeElsewhereIsLookedForAgain) {
  image.mutable_status()->set_state(v1::ImageStatus::READY);
  image.mutable_status()->set_path("/pool/img-1");
  volume.mutable_status()->set_state(v1::VolumeStatus::READY);
  volume.mutable_status()->set_path("/pool/vol-1");
  send(3'000);
  EXPECT_EQ(world.count("create_volume") + world.count("import_image"), 0);
  EXPECT_NE(told_volume().state(), v1::VolumeStatus::FAILED);
  world.images.insert("img-1");
  world.volumes["vol-1"] = 100;
  executor.run_for(30'000);
  EXPECT_EQ(told_volume().state(), v1::VolumeStatus::READY);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
}

TEST_F(CoreSharedPoolTest, WhatStaysAwayFails) {
  volume.mutable_status()->set_path("/pool/vol-1");
  send(300'000);
  EXPECT_EQ(told_volume().state(), v1::VolumeStatus::FAILED);
  EXPECT_EQ(told_volume().problem().code(), "volume_missing");
  EXPECT_EQ(world.count("create_volume"), 0);
}

TEST_F(CoreSharedPoolTest, AnImageThatItsKeeperCannotMakeFailsTheBoot) {
  keep(image, "host-2", 1);
  image.mutable_status()->set_state(v1::ImageStatus::FAILED);
  image.mutable_status()->mutable_problem()->set_summary("damaged");
  send();
  EXPECT_EQ(told_vm().state(), v1::VmStatus::FAILED);
  EXPECT_EQ(told_vm().problem().summary(), "damaged");
}

TEST_F(CoreSharedPoolTest, APoolThatGoesIsGivenUp) {
  vm.clear_meta();
  v1::ToHost message;
  *message.add_assignments()->mutable_pool() = pool;
  message.set_complete(true);
  link.receive(message);
  executor.run_for(1'000);
  world.failures.emplace("release_pool", Error{.code = ErrorCode::unavailable, .summary = "busy"});
  pool.mutable_meta()->mutable_deletion()->set_task_id("task-9");
  *message.mutable_assignments(0)->mutable_pool() = pool;
  link.receive(message);
  executor.run_for(1'000);
  EXPECT_FALSE(link.told["pool-1"].absent());
  executor.run_for(10'000);
  EXPECT_TRUE(link.told["pool-1"].absent());
  EXPECT_TRUE(world.released.contains("pool-1"));
}

}  // namespace
}  // namespace gantry::host
