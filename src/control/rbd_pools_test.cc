// Pools of Ceph: what is asked of them, who is told their key, and what stands in them.
#include <gmock/gmock.h>

#include "control/test_world.h"

namespace gantry::control {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kKey[] = "AQBTJcdlAAAAABAAGqKeB1pzxnBIr3lUcUyRtg==";

struct RbdWorld : World {
  std::string beta = join("beta");

  static v1::CreatePoolRequest pool_request(const std::string& name = "ceph", const std::string& rbd_pool = "vms") {
    v1::CreatePoolRequest request;
    request.set_name(name);
    request.mutable_spec()->set_driver(v1::PoolSpec::RBD);
    v1::RbdPool& rbd = *request.mutable_spec()->mutable_rbd();
    rbd.set_pool(rbd_pool);
    rbd.add_monitors("10.0.0.1");
    rbd.set_key(kKey);
    return request;
  }
  v1::Accepted make_pool(const v1::CreatePoolRequest& request = pool_request()) {
    const auto accepted = accept("CreatePool", request);
    EXPECT_EQ(ended(accepted).state(), v1::Task::SUCCEEDED);
    executor.run_for(60'000);
    return accepted;
  }
  void make_image_there() {
    v1::CreateImageRequest request = image_request("img");
    request.mutable_spec()->set_pool("ceph");
    EXPECT_EQ(ended(accept("CreateImage", request)).state(), v1::Task::SUCCEEDED);
  }
  static v1::CreateVolumeRequest volume_in(const std::string& pool, const std::string& image = {}) {
    v1::CreateVolumeRequest request = volume_request();
    request.mutable_spec()->set_pool(pool);
    request.mutable_spec()->set_image(image);
    request.mutable_spec()->set_capacity_bytes(4ULL << 30U);
    return request;
  }
  // What the host was sent of the pool, as text.
  [[nodiscard]] std::string sent_to(const std::string& host_id) const {
    std::string all;
    const auto messages = sent.find(host_id);
    if (messages == sent.end()) return all;
    for (const v1::ToHost& message : messages->second) {
      for (const v1::Assignment& assignment : message.assignments()) {
        if (assignment.has_pool()) all += assignment.pool().ShortDebugString();
      }
    }
    return all;
  }
};

TEST(RbdPool, IsSharedWhetherThatIsAskedForOrNot) {
  RbdWorld world;
  world.make_pool();
  const auto& pool = *world.find<v1::Pool>("ceph");
  EXPECT_TRUE(pool.spec().shared());
  EXPECT_EQ(pool.spec().rbd().user(), "admin");
  EXPECT_EQ(pool.status().state(), v1::PoolStatus::READY);
  EXPECT_EQ(pool.status().hosts_size(), 2);
}

TEST(RbdPool, HoldsNoTpm) {
  RbdWorld world;
  world.make_pool();
  v1::CreateVmRequest request = World::vm_request("sealed");
  request.mutable_spec()->set_tpm(true);
  request.mutable_spec()->clear_image();
  v1::NewVolume& disk = *request.mutable_spec()->add_disks()->mutable_create();
  disk.set_capacity_bytes(1U << 20U);
  disk.set_pool("ceph");
  EXPECT_EQ(world.refused("CreateVm", request), "tpm_in_ceph");
  disk.set_pool("default");
  EXPECT_EQ(world.refused("CreateVm", request), "");
}

TEST(RbdPool, ItsKeyIsToldToItsHostsAlone) {
  RbdWorld world;
  v1::CreatePoolRequest request = RbdWorld::pool_request();
  request.mutable_spec()->add_hosts("beta");
  const auto accepted = world.make_pool(request);
  EXPECT_THAT(world.sent_to(world.beta), HasSubstr(kKey));
  EXPECT_EQ(world.sent_to(kHostId).find(kKey), std::string::npos);
  EXPECT_THAT(accepted.ShortDebugString(), Not(HasSubstr(kKey)));
  const auto got = world.call("GetPool", World::by_id("ceph"));
  const auto listed = world.call("ListPools", v1::ListRequest());
  const auto tasks = world.call("ListTasks", v1::ListTasksRequest());
  ASSERT_TRUE(got && listed && tasks);
  EXPECT_THAT((*got)->ShortDebugString(), testing::AllOf(HasSubstr("vms"), Not(HasSubstr(kKey))));
  EXPECT_THAT((*listed)->ShortDebugString(), testing::AllOf(HasSubstr("vms"), Not(HasSubstr(kKey))));
  EXPECT_THAT((*tasks)->ShortDebugString(), Not(HasSubstr(kKey)));
}

TEST(RbdPool, OnePlaceIsOnePool) {
  RbdWorld world;
  world.make_pool();
  EXPECT_EQ(world.refused("CreatePool", RbdWorld::pool_request("again")), "path_in_use");
  v1::CreatePoolRequest apart = RbdWorld::pool_request("apart");
  apart.mutable_spec()->mutable_rbd()->set_namespace_("blue");
  EXPECT_EQ(world.refused("CreatePool", apart), "");
  EXPECT_EQ(world.refused("CreatePool", RbdWorld::pool_request("other", "other")), "");
  EXPECT_EQ(world.ended(world.accept("DeletePool", World::by_id("ceph"))).state(), v1::Task::SUCCEEDED);
}

TEST(RbdPool, ItsVolumesAreRawAndOnImagesOfItsOwn) {
  RbdWorld world;
  world.make_pool();
  world.make_image_there();
  const auto accepted = world.accept("CreateVolume", RbdWorld::volume_in("ceph", "img"));
  EXPECT_THAT(accepted.plan().ShortDebugString(), HasSubstr("raw"));
  EXPECT_EQ(world.find<v1::Volume>("data")->spec().format(), v1::VolumeSpec::RAW);
  v1::CreateVolumeRequest elsewhere = RbdWorld::volume_in("default", "img");
  elsewhere.set_name("elsewhere");
  EXPECT_EQ(world.refused("CreateVolume", elsewhere), "image_out_of_reach");
}

TEST(RbdPool, KernelsLieElsewhere) {
  RbdWorld world;
  world.make_pool();
  v1::CreateImageRequest request = World::image_request("kernel");
  request.mutable_spec()->clear_recipe();
  request.mutable_spec()->set_upload(true);
  request.mutable_spec()->set_kind(v1::ImageSpec::KERNEL);
  request.mutable_spec()->set_pool("ceph");
  EXPECT_EQ(world.refused("CreateImage", request), "kernel_in_ceph");
}

}  // namespace
}  // namespace gantry::control
