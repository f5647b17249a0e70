// Pools as the agent drives them: what is asked of storage, and what depends on a pool that is not there.
#include <gtest/gtest.h>

#include "host/fake_ports.h"

namespace gantry::host {
namespace {

// A volume without an image in a pool, on a host whose agent can be killed.
class CorePoolTest : public ::testing::Test {
 protected:
  CorePoolTest() : world(executor) {
    pool.mutable_meta()->set_id("pool-1");
    pool.mutable_spec()->set_host_id("host-1");
    pool.mutable_spec()->set_path("/pool");
    volume.mutable_meta()->set_id("vol-1");
    volume.mutable_meta()->set_generation(1);
    volume.mutable_spec()->set_pool("pool-1");
    volume.mutable_spec()->set_capacity_bytes(100);
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
    v1::ToHost message;
    *message.add_assignments()->mutable_volume() = volume;
    *message.add_assignments()->mutable_pool() = pool;
    message.set_complete(true);
    link.receive(message);
  }
  // The next agent finds in the records what this one told.
  void crash_and_return() {
    if (link.told.contains("pool-1")) *pool.mutable_status() = link.told["pool-1"].pool();
    if (link.told.contains("vol-1")) *volume.mutable_status() = link.told["vol-1"].volume();
    core.reset();
    start_agent();
  }
  // What storage answers while the pool's file system is not mounted.
  void fail_next(const std::string& call) {
    world.failures.emplace(call,
                           Error{.code = ErrorCode::unavailable, .summary = "not mounted", .reason = "pool_unusable"});
  }
  v1::PoolStatus told_pool() { return link.told["pool-1"].pool(); }
  v1::VolumeStatus told_volume() { return link.told["vol-1"].volume(); }

  FakeExecutor executor;
  FakeWorld world;
  FakeLink link;
  v1::Pool pool;
  v1::Volume volume;
  std::uint64_t incarnation = 0;
  std::unique_ptr<HostCore> core;
};

TEST_F(CorePoolTest, APoolIsNewUntilItWasReadyOnce) {
  fail_next("inspect_pool");
  executor.run_for(1'000);
  EXPECT_EQ(told_pool().state(), v1::PoolStatus::FAILED);
  crash_and_return();
  executor.run_for(1'000);
  ASSERT_EQ(told_pool().state(), v1::PoolStatus::READY);
  ASSERT_EQ(world.pools.size(), 2U);
  EXPECT_TRUE(world.pools[0].is_new);
  EXPECT_TRUE(world.pools[1].is_new) << "it never was";
  EXPECT_EQ(world.pools[1].path, "/pool");
  executor.run_for(120'000);
  ASSERT_GE(world.pools.size(), 3U);
  EXPECT_FALSE(world.pools.back().is_new);
}

TEST_F(CorePoolTest, APoolThatWasReadyIsNeverNewAgain) {
  world.pool_capacity_bytes = 1U << 30U;
  executor.run_for(1'000);
  ASSERT_EQ(told_pool().state(), v1::PoolStatus::READY);
  // However often the agent comes back without finding it.
  for (int i = 0; i < 3; ++i) {
    fail_next("inspect_pool");
    crash_and_return();
    executor.run_for(1'000);
    EXPECT_EQ(told_pool().state(), v1::PoolStatus::FAILED);
    EXPECT_EQ(told_pool().problem().code(), "pool_unusable");
    EXPECT_FALSE(world.pools.back().is_new);
  }
  executor.run_for(6'000);
  EXPECT_EQ(told_pool().state(), v1::PoolStatus::READY) << "it is looked for every few seconds";
  EXPECT_FALSE(told_pool().has_problem());
}

TEST_F(CorePoolTest, VolumesOfAPoolThatIsNotNewSayIt) {
  executor.run_for(1'000);
  ASSERT_EQ(told_volume().state(), v1::VolumeStatus::READY);
  EXPECT_TRUE(world.volume_requests.front().pool_is_new);
  crash_and_return();
  executor.run_for(1'000);
  EXPECT_FALSE(world.volume_requests.back().pool_is_new);
}

TEST_F(CorePoolTest, VolumesGivenUpForWantOfTheirPoolAreFoundOnceItIsBack) {
  executor.run_for(1'000);
  ASSERT_EQ(told_volume().state(), v1::VolumeStatus::READY);
  for (int i = 0; i < 60; ++i) {
    fail_next("inspect_pool");
    fail_next("inspect_volume");
  }
  crash_and_return();
  executor.run_for(200'000);
  EXPECT_EQ(told_volume().state(), v1::VolumeStatus::FAILED) << "every task ends";
  EXPECT_EQ(told_volume().problem().code(), "pool_unusable");
  world.failures.clear();
  executor.run_for(10'000);
  EXPECT_EQ(told_pool().state(), v1::PoolStatus::READY);
  EXPECT_EQ(told_volume().state(), v1::VolumeStatus::READY);
  EXPECT_EQ(world.count("create_volume"), 1);
}

}  // namespace
}  // namespace gantry::host
