// Pools as the agent drives them: what is asked of storage, and what depends on a pool that is not there.
#include "host/test_fixture.h"

namespace gantry::host {
namespace {

class CorePoolTest : public CoreTest {
 protected:
  CorePoolTest() { assign_all(); }

  // The next agent finds in the records also what this one told of the pool.
  void crash_and_return_on_record() {
    *pool.mutable_status() = told_pool();
    crash_and_return();
  }
  // What storage answers while the pool's file system is not mounted.
  void fail_next(const std::string& call) {
    world.failures.emplace(call,
                           Error{.code = ErrorCode::unavailable, .summary = "not mounted", .reason = "pool_unusable"});
  }
};

TEST_F(CorePoolTest, APoolIsNewUntilItWasReadyOnce) {
  fail_next("inspect_pool");
  executor.run_for(1'000);
  EXPECT_EQ(told_pool().state(), v1::PoolStatus::FAILED);
  crash_and_return_on_record();
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
    crash_and_return_on_record();
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
  EXPECT_TRUE(world.volume_requests.front().pool.is_new);
  crash_and_return_on_record();
  executor.run_for(1'000);
  EXPECT_FALSE(world.volume_requests.back().pool.is_new);
}

TEST_F(CorePoolTest, VolumesGivenUpForWantOfTheirPoolAreFoundOnceItIsBack) {
  executor.run_for(1'000);
  ASSERT_EQ(told_volume().state(), v1::VolumeStatus::READY);
  for (int i = 0; i < 60; ++i) {
    fail_next("inspect_pool");
    fail_next("inspect_volume");
  }
  crash_and_return_on_record();
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
