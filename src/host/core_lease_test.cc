#include "host/test_fixture.h"

namespace gantry::host {
namespace {

class CoreLeaseTest : public CoreWithVmTest {};

TEST_F(CoreLeaseTest, AGuestIsStartedOnlyUnderItsLeaseAndGuardedByIt) {
  world.refuses_leases = true;
  assign_and_run();
  EXPECT_EQ(world.count("start"), 0);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::PROVISIONING);
  world.tell_lease("vm-1", v1::LeaseStatus::WAITING, "host b may still run it: taken in 9 s if nothing changes");
  executor.run_for(100);
  EXPECT_EQ(told_vm().waiting_for(), "its lease: host b may still run it: taken in 9 s if nothing changes");
  EXPECT_EQ(told_vm().lease().state(), v1::LeaseStatus::WAITING);
  world.tell_lease("vm-1", v1::LeaseStatus::HELD);
  executor.run_for(100);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
  EXPECT_EQ(world.definitions.at(0).guard, "/guards/vm-1");
}

TEST_F(CoreLeaseTest, OneOfAnEarlierPlacementIsNoLease) {
  world.refuses_leases = true;
  assign_and_run();
  world.lease_wishes["vm-1"].epoch = 0;
  world.tell_lease("vm-1", v1::LeaseStatus::HELD);
  executor.run_for(100);
  EXPECT_EQ(world.count("start"), 0);
}

TEST_F(CoreLeaseTest, TheWishSaysWhereAndFollowsTheGuest) {
  pool.mutable_spec()->set_shared(true);
  assign_and_run();
  port::LeaseWish wish = world.lease_wishes.at("vm-1");
  EXPECT_EQ(wish.directory, "/pool");
  EXPECT_EQ(wish.host_id, "host-1");
  EXPECT_EQ(wish.epoch, 1U);
  EXPECT_FALSE(wish.is_private);
  EXPECT_TRUE(wish.hold);
  world.end("vm-1", v1::VmExit::GUEST_SHUTDOWN);
  executor.run_for(100);
  EXPECT_FALSE(world.lease_wishes.at("vm-1").hold);
}

TEST_F(CoreLeaseTest, InCephItNamesTheImagesThatOthersAreToBeShutOutFrom) {
  v1::PoolSpec& spec = *pool.mutable_spec();
  spec.set_driver(v1::PoolSpec::RBD);
  spec.set_shared(true);
  spec.mutable_rbd()->set_pool("vms");
  spec.mutable_rbd()->set_namespace_("blue");
  spec.mutable_rbd()->set_user("gantry");
  assign_and_run();
  const port::LeaseWish wish = world.lease_wishes.at("vm-1");
  EXPECT_EQ(wish.directory, "rbd:gantry@vms/blue/:/var/lib/gantry/ceph/pool-1.conf");
  EXPECT_FALSE(wish.is_private);
  EXPECT_EQ(wish.images, std::vector<std::string>{"rbd:gantry@vms/blue/vol-1:/var/lib/gantry/ceph/pool-1.conf"});
  EXPECT_FALSE(wish.lacks_images);
}

TEST_F(CoreLeaseTest, WhereADiskIsThatWasNotToldYetIsNotKnown) {
  v1::VmDisk& disk = *vm.mutable_spec()->add_disks();
  disk.set_volume("vol-2");
  assign_and_run();
  EXPECT_TRUE(world.lease_wishes.at("vm-1").lacks_images);
}

TEST_F(CoreLeaseTest, AGuestThatTheSentinelHoldsIsToldOfAndLeftToIt) {
  assign_and_run();
  world.change("vm-1", [](auto& guest) { guest.state = GuestState::paused; });
  world.tell_lease("vm-1", v1::LeaseStatus::LAPSED, "its record cannot be used: no answer");
  executor.run_for(5'000);
  EXPECT_EQ(world.count("resume"), 0);
  EXPECT_EQ(told_vm().problem().code(), "lease_lapsed");
  EXPECT_EQ(told_vm().problem().cause(), "its record cannot be used: no answer");
  world.tell_lease("vm-1", v1::LeaseStatus::HELD);
  executor.run_for(1'000);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
  EXPECT_FALSE(told_vm().has_problem());
}

TEST_F(CoreLeaseTest, AGuestThatIsFrozenIsNotAskedToPowerOffNorKilledForNotDoingIt) {
  world.obeys_power_button = false;
  assign_and_run();
  change_vm([](v1::VmSpec& spec) { spec.set_power(v1::VmSpec::STOPPED); });
  executor.run_for(2'000);
  EXPECT_EQ(world.count("power_down"), 1);
  // The kernel froze it: QEMU itself says nothing of it.
  world.tell_lease("vm-1", v1::LeaseStatus::LAPSED, "its record cannot be used: no answer");
  executor.run_for(60'000);
  EXPECT_EQ(world.count("power_down"), 1);
  EXPECT_EQ(world.count("kill"), 0);
  EXPECT_EQ(told_vm().waiting_for(), "its lease: its record cannot be used: no answer");
  // It has all its time once it goes on.
  world.tell_lease("vm-1", v1::LeaseStatus::HELD);
  executor.run_for(4'900);
  EXPECT_EQ(world.count("power_down"), 2);
  EXPECT_EQ(world.count("kill"), 0);
  executor.run_for(500);
  EXPECT_EQ(told_vm().exit().reason(), v1::VmExit::FORCED);
}

TEST_F(CoreLeaseTest, AGuestThatIsFoundStartingIsNotGivenUpWhileItIsFrozen) {
  assign_and_run();
  take_status();
  core.reset();
  world.change("vm-1", [](auto& guest) { guest.state = GuestState::starting; });
  world.refuses_leases = true;
  start_agent();
  assign_and_run();
  world.tell_lease("vm-1", v1::LeaseStatus::LAPSED, "its record cannot be used: no answer");
  executor.run_for(300'000);
  EXPECT_EQ(world.count("kill"), 0);
  world.tell_lease("vm-1", v1::LeaseStatus::HELD);
  executor.run_for(59'000);
  EXPECT_EQ(world.count("kill"), 0);
  executor.run_for(2'000);
  EXPECT_EQ(world.count("kill"), 1);
}

// The sentinel may end between what it told and the start: QEMU never ran, and nobody has to ask for it anew.
TEST_F(CoreLeaseTest, AStartThatFindsNoGuardIsTriedAgain) {
  const Error none{ErrorCode::unavailable, "the sentinel does not guard this virtual machine", "", "", "not_guarded"};
  for (int i = 0; i < 12; ++i) world.failures.emplace("start", none);
  assign_and_run();
  EXPECT_EQ(told_vm().state(), v1::VmStatus::PROVISIONING);
  EXPECT_EQ(told_vm().problem().code(), "not_guarded");
  EXPECT_EQ(told_vm().failed_operation_id(), "");
  executor.run_for(400'000);
  EXPECT_EQ(world.count("start"), 13);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::RUNNING);
  EXPECT_FALSE(told_vm().has_problem());
}

// A guest that the kernel froze does not answer: whoever waits for its answer before asking for its lease waits for
// ever.
TEST_F(CoreLeaseTest, LeasesAreAskedForBeforeGuestsAreKnown) {
  assign_and_run();
  take_status();
  core.reset();
  world.completes = false;
  start_agent();
  assign_and_run();
  EXPECT_TRUE(world.lease_wishes.at("vm-1").hold);
}

// As when the first list that an agent is sent is lost, and news of the VM alone comes.
TEST_F(CoreLeaseTest, AVmThatIsDeletedBeforeItsPoolIsKnownLeavesNoLease) {
  vm.mutable_spec()->set_tpm(true);
  assign_and_run();
  take_status();
  core.reset();
  start_agent();
  delete_both();
  v1::ToHost news;
  *news.add_assignments()->mutable_vm() = vm;
  link.receive(news);
  executor.run_for(1'000);
  EXPECT_EQ(world.count("forget"), 1);
  EXPECT_FALSE(link.told["vm-1"].absent());
  assign_and_run();
  EXPECT_EQ(world.count("remove_lease"), 1);
  EXPECT_EQ(world.deleted_tpms["vm-1"], "/pool");
  EXPECT_TRUE(link.told["vm-1"].absent());
}

TEST_F(CoreLeaseTest, AVmWhosePoolIsGoneIsDeletedWithoutIt) {
  assign_and_run();
  delete_both();
  core.reset();
  start_agent();
  pool.clear_meta();
  volume.clear_meta();
  assign_and_run();
  EXPECT_EQ(world.count("remove_lease"), 0);
  EXPECT_TRUE(link.told["vm-1"].absent());
}

}  // namespace
}  // namespace gantry::host
