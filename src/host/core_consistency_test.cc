// What the agent does when it cannot know all, is killed, or hears things again, late or out of order: nothing twice,
// and nothing that was not asked for.
#include "host/test_fixture.h"

namespace gantry::host {
namespace {

class CoreConsistencyTest : public CoreWithVmTest {};

TEST_F(CoreConsistencyTest, DecidesNothingBeforeTheHypervisorWasSeenWhole) {
  core.reset();
  world.completes = false;
  start_agent();
  assign_and_run();
  EXPECT_EQ(world.count("start"), 0);
  EXPECT_FALSE(link.told.contains("vm-1"));
}

TEST_F(CoreConsistencyTest, DoesNothingToAGuestThatCannotBeLookedFor) {
  assign_and_run();
  const port::GuestObservation before = world.guests["vm-1"];
  world.change("vm-1", [](port::GuestObservation& guest) {
    guest = port::GuestObservation();
    guest.vm_id = "vm-1";
    guest.state = GuestState::unknown;
    guest.problem.set_code("guest_unknown");
  });
  crash_and_return();
  world.calls.clear();
  executor.run_for(60'000);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::STARTING);
  EXPECT_EQ(told_vm().problem().code(), "guest_unknown");
  EXPECT_EQ(told_vm().boot_id(), "task-1");
  change_vm([](v1::VmSpec& spec) { spec.set_power(v1::VmSpec::STOPPED); });
  executor.run_for(60'000);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::STOPPING);
  for (const char* call : {"start", "kill", "detach", "forget"}) EXPECT_EQ(world.count(call), 0) << call;
  world.change("vm-1", [&before](port::GuestObservation& guest) { guest = before; });
  executor.run_for(60'000);
  EXPECT_EQ(told_vm().state(), v1::VmStatus::STOPPED);
  EXPECT_FALSE(told_vm().has_problem());
  EXPECT_EQ(world.count("power_down"), 1);
}

TEST_F(CoreConsistencyTest, LeavesGuestsWithoutAssignmentAlone) {
  world.guests["vm-7"].vm_id = "vm-7";
  world.guests["vm-7"].state = GuestState::running;
  core.reset();
  start_agent();
  assign_and_run(60'000);
  EXPECT_EQ(world.guests["vm-7"].state, GuestState::running);
  EXPECT_EQ(world.count("kill"), 0);
}

TEST_F(CoreConsistencyTest, RepeatedAssignmentsChangeNothing) {
  assign_and_run(3'000);
  const std::size_t calls = world.calls.size();
  const std::size_t sent = link.sent.size();
  assign_and_run(100);
  assign_and_run(100);
  EXPECT_EQ(world.calls.size(), calls);
  EXPECT_EQ(link.sent.size(), sent);
}

TEST_F(CoreConsistencyTest, RefusesAnOlderPlacement) {
  vm.mutable_placement()->set_epoch(5);
  assign_and_run();
  vm.mutable_placement()->set_epoch(4);
  change_vm([](v1::VmSpec& spec) { spec.set_power(v1::VmSpec::STOPPED); });
  executor.run_for(1'000);
  EXPECT_EQ(guest(), GuestState::running);
}

TEST_F(CoreConsistencyTest, IgnoresAnOlderGeneration) {
  const v1::Vm before = vm;
  vm.mutable_meta()->set_generation(2);
  vm.mutable_spec()->set_power(v1::VmSpec::STOPPED);
  assign_and_run();
  vm = before;
  assign_and_run();
  EXPECT_EQ(world.count("start"), 0);
}

TEST_F(CoreConsistencyTest, RevisionsAreOfOneConnection) {
  vm.mutable_meta()->set_revision(5'000);
  assign_and_run();
  // Said before what is known, and come late.
  vm.mutable_meta()->set_revision(4'000);
  change_vm([](v1::VmSpec& spec) { spec.set_power(v1::VmSpec::STOPPED); });
  executor.run_for(60'000);
  EXPECT_EQ(guest(), GuestState::running);
  // Another store, to which the records were moved, counts from 1.
  link.connection(false);
  link.connection(true);
  vm.mutable_meta()->set_revision(3);
  assign_and_run(60'000);
  EXPECT_EQ(guest(), GuestState::ended);
}

TEST_F(CoreConsistencyTest, ALateAssignmentDoesNotBringADeletedGuestBack) {
  assign_and_run();
  const v1::Vm before = vm;
  vm.mutable_meta()->mutable_deletion()->set_task_id("task-9");
  assign_and_run();
  ASSERT_TRUE(link.told["vm-1"].absent());
  vm = before;
  assign_and_run();
  EXPECT_TRUE(world.guests.empty());
  // Asked again whether it is gone, it says so again.
  link.told.clear();
  vm.mutable_meta()->mutable_deletion()->set_task_id("task-9");
  assign_and_run();
  EXPECT_TRUE(link.told["vm-1"].absent());
}

TEST_F(CoreConsistencyTest, ALateListDoesNotMakeItForgetNewerRecords) {
  v1::ToHost late;
  late.set_sequence(1);
  late.set_complete(true);
  v1::ToHost all;
  all.set_sequence(2);
  *all.add_assignments()->mutable_pool() = pool;
  link.receive(all);
  link.receive(late);
  link.told.clear();
  link.connection(true);
  executor.run_for(1'000);
  EXPECT_TRUE(link.told.contains("pool-1"));
}

TEST_F(CoreConsistencyTest, TellsEverythingAgainOnEachConnection) {
  assign_and_run();
  link.told.clear();
  link.connection(false);
  link.connection(true);
  executor.run_for(10);
  EXPECT_EQ(link.told.size(), 5U);
  EXPECT_TRUE(std::ranges::any_of(link.sent, [](const v1::FromHost& message) { return message.hello(); }));
}

TEST_F(CoreConsistencyTest, TellsTheRecipesItsHostKnows) {
  assign_and_run();
  EXPECT_TRUE(std::ranges::any_of(link.sent, [](const v1::FromHost& message) {
    return message.host().recipes_size() == 1 && message.host().recipes(0) == "debian-12";
  }));
}

// An agent killed before any of its steps: the next one must bring the VM to the same end, with one start.
TEST_F(CoreConsistencyTest, ACrashAtAnyStepChangesNothingInTheEnd) {
  int steps = 0;
  for (int crash_at = 0; crash_at < 400; ++crash_at) {
    world.guests.clear();
    world.volumes.clear();
    world.images.clear();
    world.calls.clear();
    vm.clear_status();
    volume.clear_status();
    image.clear_status();
    link.told.clear();
    core.reset();
    executor.run_for(1'000);
    start_agent();
    assign_all();
    const Milliseconds end_ms = executor.now().monotonic_ms + 200;
    int done = 0;
    while (done < crash_at && executor.has_work_before(end_ms)) {
      executor.run_one();
      ++done;
    }
    if (done < crash_at) break;
    ++steps;
    crash_and_return();
    // Found starting: the fake finishes that boot though nobody is there to hear of it.
    executor.run_for(2'000);
    ASSERT_EQ(guest(), GuestState::running) << "after a crash at step " << crash_at;
    ASSERT_EQ(told_vm().state(), v1::VmStatus::RUNNING) << "after a crash at step " << crash_at;
    ASSERT_EQ(world.count("start"), 1) << "after a crash at step " << crash_at;
  }
  EXPECT_GT(steps, 20);
}

}  // namespace
}  // namespace gantry::host
