// Moves of running guests: what each word of a host leads to.
#include "control/moves.h"

#include <gmock/gmock.h>

#include "control/move_world.h"
#include "control/vm_hosts.h"

namespace gantry::control {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

TEST(Move, GoesFromHostToHostStepByStep) {
  MoveWorld world;
  const v1::Accepted accepted = world.accept("MoveVm", MoveWorld::move_request());
  world.executor.run_for(1'000);
  const std::string task_id = accepted.task().meta().id();
  EXPECT_EQ(accepted.plan().placement().host_id(), world.target);
  EXPECT_EQ(world.move().task_id(), task_id);
  EXPECT_EQ(world.move().epoch(), 2U);
  EXPECT_EQ(world.placement().last_epoch(), 2U);
  EXPECT_EQ(world.placement().host_id(), world.source);
  for (const std::string& id : {world.source, world.target}) {
    EXPECT_EQ(world.last_sent(id).placement().move().task_id(), task_id) << id;
    EXPECT_EQ(world.reserved(id), 1024U) << id;
  }
  EXPECT_THAT(world.task(task_id).progress().phase(), HasSubstr("to make ready"));

  world.prepare();
  EXPECT_EQ(world.last_sent(world.source).placement().move().target().address().secret(), kMoveSecret);
  EXPECT_THAT(world.task(task_id).progress().phase(), HasSubstr("to begin"));

  v1::VmMoveStatus copying = world.word(v1::VmMoveStatus::COPYING);
  world.tell(world.source, copying);
  EXPECT_EQ(world.task(task_id).progress().phase(), "beginning to copy its memory");
  EXPECT_FALSE(world.task(task_id).progress().measurable());
  copying.mutable_progress()->set_phase("copying memory");
  copying.mutable_progress()->set_percent(40);
  copying.set_total_ms_predicted(12'000);
  copying.set_downtime_ms_predicted(80);
  world.tell(world.source, copying);
  EXPECT_EQ(world.task(task_id).progress().percent(), 40U);
  EXPECT_TRUE(world.task(task_id).progress().measurable());
  EXPECT_EQ(world.task(task_id).progress().phase(),
            "copying memory; all of it takes some 12.0 s, of which the guest stands still for 80 ms");

  world.tell(world.source, v1::VmMoveStatus::SENT);
  EXPECT_THAT(world.task(task_id).progress().phase(), HasSubstr("stands still; waiting for"));
  world.tell(world.target, v1::VmMoveStatus::ARRIVED);
  EXPECT_EQ(world.last_sent(world.source).placement().move().target().phase(), v1::VmMoveStatus::ARRIVED);
  EXPECT_EQ(world.placement().host_id(), world.source);

  v1::VmMoveStatus arrived = world.word(v1::VmMoveStatus::ARRIVED);
  arrived.set_downtime_ms(71);
  arrived.set_total_ms(11'900);
  world.fake(world.target).moves[world.vm().meta().id()] = arrived;
  world.tell(world.source, v1::VmMoveStatus::GIVEN);
  const v1::Task task = world.ended(accepted);
  EXPECT_EQ(task.state(), v1::Task::SUCCEEDED) << task.ShortDebugString();
  EXPECT_EQ(task.progress().phase(),
            "moved in 11.9 s, of which the guest stood still for 71 ms; foreseen were 12.0 s and 80 ms");
  EXPECT_EQ(world.placement().host_id(), world.target);
  EXPECT_EQ(world.placement().epoch(), 2U);
  EXPECT_EQ(world.placement().moved_by(), task_id);
  EXPECT_FALSE(world.placement().has_move());
  EXPECT_EQ(world.vm().status().host_id(), world.target);
  EXPECT_TRUE(world.fake(world.target).runs(world.vm().meta().id()));

  // The source was told to take away what is left, did so, and is forgotten.
  world.executor.run_for(5'000);
  EXPECT_FALSE(world.fake(world.source).has(world.vm().meta().id()));
  EXPECT_THAT(world.placement().left_hosts(), IsEmpty());
  EXPECT_EQ(world.placement().last_epoch(), 3U) << "the leave has a number of its own";
  EXPECT_EQ(world.reserved(world.source), 0U);
  EXPECT_EQ(world.reserved(world.target), 1024U);
  const auto* volume = world.core->view().find<v1::Volume>(world.vm().spec().disks(0).volume());
  EXPECT_EQ(volume->keeper().host_id(), world.target);
}

// All that the host is told when it connects anew.
v1::ToHost told_anew(MoveWorld& world, const std::string& host_id) {
  world.sent[host_id].clear();
  world.fake(host_id).connect();
  world.executor.run_for(1'000);
  for (const v1::ToHost& message : world.sent[host_id]) {
    if (message.complete()) return message;
  }
  ADD_FAILURE() << "nothing complete was told";
  return {};
}

TEST(Move, AHostThatConnectsAnewIsToldOfWhatComesAndOfWhatLeft) {
  MoveWorld world;
  begin_move(world);
  const std::string vm_id = world.vm().meta().id();
  const std::string volume_id = world.vm().spec().disks(0).volume();
  const auto tells = [](const v1::ToHost& message, const std::string& id) {
    return std::ranges::count_if(message.assignments(), [&](const v1::Assignment& one) {
      return one.vm().meta().id() == id || one.volume().meta().id() == id;
    });
  };
  const v1::ToHost coming = told_anew(world, world.target);
  EXPECT_EQ(tells(coming, vm_id), 1);
  EXPECT_EQ(tells(coming, volume_id), 1);
  for (const v1::Assignment& one : coming.assignments()) {
    EXPECT_TRUE(one.volume().meta().id() != volume_id || one.look_only()) << "the source's guest has it open";
  }
  world.fake(world.source).asleep = true;
  world.tell(world.target, v1::VmMoveStatus::ARRIVED);
  world.tell(world.source, v1::VmMoveStatus::GIVEN);
  ASSERT_EQ(world.placement().host_id(), world.target);
  EXPECT_EQ(tells(told_anew(world, world.source), vm_id), 1) << "it has to take away what is left";
}

TEST(Move, GoesOnWithAnotherManager) {
  MoveWorld world;
  const v1::Accepted accepted = begin_move(world);
  world.restart();
  // Until it has read the records it lets nobody in.
  world.executor.run_for(1'000);
  world.fake(world.beta).connect();
  world.executor.run_for(60'000);
  EXPECT_EQ(world.move().task_id(), accepted.task().meta().id());
  EXPECT_FALSE(world.move().cancelled());
  world.tell(world.target, v1::VmMoveStatus::ARRIVED);
  world.tell(world.source, v1::VmMoveStatus::GIVEN);
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.placement().host_id(), world.target);
}

void expect_stayed(MoveWorld& world, const v1::Accepted& accepted, v1::Task::State state, const std::string& code) {
  const v1::Task task = world.ended(accepted);
  EXPECT_EQ(task.state(), state) << task.ShortDebugString();
  EXPECT_EQ(task.problem().code(), code);
  EXPECT_EQ(world.placement().host_id(), world.source);
  EXPECT_EQ(world.placement().epoch(), 1U);
  EXPECT_FALSE(world.placement().has_move());
}

TEST(Move, ThatTheSourceCannotMakeFailsWithItsReason) {
  MoveWorld world;
  const v1::Accepted accepted = begin_move(world);
  v1::VmMoveStatus failed = world.word(v1::VmMoveStatus::FAILED);
  failed.mutable_problem()->set_code("move_failed");
  failed.mutable_problem()->set_summary("the connection broke");
  world.tell(world.source, failed);
  expect_stayed(world, accepted, v1::Task::FAILED, "move_failed");
  world.executor.run_for(5'000);
  EXPECT_THAT(world.placement().left_hosts(), IsEmpty()) << "the target took away what it had";
  EXPECT_EQ(world.reserved(world.target), 0U);
  // Once more, with an epoch that was never had.
  const v1::Accepted again = world.accept("MoveVm", MoveWorld::move_request());
  EXPECT_GT(world.move().epoch(), 3U);
  EXPECT_FALSE(model::is_ended(world.task(again.task().meta().id()).state())) << "the old word is not of this one";
}

TEST(Move, ACancelWaitsForTheSource) {
  MoveWorld world;
  const v1::Accepted accepted = begin_move(world);
  ASSERT_TRUE(world.call("CancelTask", World::by_id(accepted.task().meta().id())));
  world.executor.run_for(1'000);
  EXPECT_TRUE(world.last_sent(world.source).placement().move().cancelled());
  EXPECT_FALSE(model::is_ended(world.task(accepted.task().meta().id()).state()));
  world.tell(world.source, v1::VmMoveStatus::FAILED);
  expect_stayed(world, accepted, v1::Task::CANCELLED, "");
}

TEST(Move, ThatIsGivenCountsThoughItWasCancelled) {
  MoveWorld world;
  const v1::Accepted accepted = begin_move(world);
  const std::string& task_id = accepted.task().meta().id();
  world.tell(world.target, v1::VmMoveStatus::ARRIVED);
  ASSERT_TRUE(world.call("CancelTask", World::by_id(task_id)));
  world.fake(world.target).asleep = true;
  world.tell(world.source, v1::VmMoveStatus::GIVEN);
  EXPECT_EQ(world.placement().host_id(), world.target);
  EXPECT_EQ(world.refused("CancelTask", World::by_id(task_id)), "");
  world.fake(world.target).asleep = false;
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED);
}

TEST(Move, ACancelAfterTheGuestWentEndsTheWaitingAlone) {
  MoveWorld world;
  const v1::Accepted accepted = begin_move(world);
  world.fake(world.target).asleep = true;
  world.tell(world.target, v1::VmMoveStatus::ARRIVED);
  world.tell(world.source, v1::VmMoveStatus::GIVEN);
  EXPECT_THAT(world.task(accepted.task().meta().id()).progress().phase(), HasSubstr("to let the guest go on"));
  ASSERT_TRUE(world.call("CancelTask", World::by_id(accepted.task().meta().id())));
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::CANCELLED);
  EXPECT_EQ(world.placement().host_id(), world.target);
}

TEST(Move, ThatLostItsGuestOnTheWayHasFailedThoughItWasBootedAgain) {
  MoveWorld world;
  const v1::Accepted accepted = begin_move(world);
  v1::VmMoveStatus lost = world.word(v1::VmMoveStatus::FAILED);
  lost.mutable_problem()->set_code("guest_lost_in_move");
  lost.mutable_problem()->set_summary("it was lost");
  world.fake(world.target).moves[world.vm().meta().id()] = lost;
  world.tell(world.source, v1::VmMoveStatus::GIVEN);
  const v1::Task task = world.ended(accepted);
  EXPECT_EQ(task.state(), v1::Task::FAILED);
  EXPECT_EQ(task.problem().code(), "guest_lost_in_move");
  EXPECT_EQ(world.placement().host_id(), world.target);
}

TEST(Move, ThatLostItsGuestAtTheSourceSaysSo) {
  MoveWorld world;
  const v1::Accepted accepted = begin_move(world);
  v1::VmStatus crashed = world.vm().status();
  crashed.set_state(v1::VmStatus::CRASHED);
  crashed.mutable_exit()->set_boot_id(world.vm().spec().boot_id());
  crashed.mutable_problem()->set_code("guest_lost_in_move");
  crashed.mutable_problem()->set_summary("it was lost");
  *crashed.mutable_move() = world.word(v1::VmMoveStatus::SENT);
  v1::Observation said;
  said.set_id(world.vm().meta().id());
  *said.mutable_vm() = crashed;
  world.fake(world.source).say(said);
  world.executor.run_for(1'000);
  EXPECT_TRUE(world.move().cancelled());
  *said.mutable_vm()->mutable_move() = world.word(v1::VmMoveStatus::FAILED);
  world.fake(world.source).say(said);
  EXPECT_EQ(world.ended(accepted).problem().code(), "guest_lost_in_move");
  EXPECT_EQ(world.placement().host_id(), world.source);
}

TEST(Move, AResetThatFailedStaysOver) {
  MoveWorld world;
  world.accept("ResetVm", World::by_id("web"));
  world.executor.run_for(1'000);
  begin_move(world);
  v1::VmStatus failed = world.vm().status();
  failed.set_failed_operation_id(world.vm().spec().reset_id());
  failed.mutable_problem()->set_summary("could not be reset");
  *failed.mutable_move() = world.word(v1::VmMoveStatus::GIVEN);
  world.fake(world.target).asleep = true;
  v1::Observation said;
  said.set_id(world.vm().meta().id());
  *said.mutable_vm() = failed;
  world.fake(world.source).say(said);
  world.executor.run_for(1'000);
  ASSERT_EQ(world.placement().host_id(), world.target);
  EXPECT_EQ(world.vm().status().failed_operation_id(), world.vm().spec().reset_id());
}

// As if it were the source: the lease was lost by a name that was written late.
TEST(Move, AfterALostLeaseTheVmHasAnEpochThatNobodyHad) {
  MoveWorld world;
  begin_move(world);
  v1::VmStatus failed = world.vm().status();
  failed.set_state(v1::VmStatus::CRASHED);
  failed.mutable_lease()->set_state(v1::LeaseStatus::LOST);
  *failed.mutable_move() = world.word(v1::VmMoveStatus::FAILED);
  v1::Observation said;
  said.set_id(world.vm().meta().id());
  *said.mutable_vm() = failed;
  world.fake(world.source).say(said);
  world.executor.run_for(1'000);
  EXPECT_FALSE(world.placement().has_move());
  EXPECT_GT(world.placement().epoch(), 2U);
}

TEST(Move, ATargetThatFailsIsToldToTheSourceWhichHasTheLastWord) {
  MoveWorld world;
  const v1::Accepted accepted = begin_move(world);
  v1::VmMoveStatus failed = world.word(v1::VmMoveStatus::FAILED);
  failed.mutable_problem()->set_code("no_memory");
  failed.mutable_problem()->set_summary("there is no memory");
  world.tell(world.target, failed);
  EXPECT_TRUE(world.move().cancelled());
  EXPECT_TRUE(world.last_sent(world.source).placement().move().cancelled());
  world.executor.run_for(60'000);
  EXPECT_TRUE(world.placement().has_move()) << "its own word ends nothing";
  world.tell(world.source, v1::VmMoveStatus::FAILED);
  expect_stayed(world, accepted, v1::Task::FAILED, "no_memory");
}

TEST(Move, ToAHostThatIsLostIsGivenUpUnlessAllOfItIsThere) {
  for (const bool has_arrived : {false, true}) {
    MoveWorld world;
    const v1::Accepted accepted = begin_move(world);
    if (has_arrived) world.tell(world.target, v1::VmMoveStatus::ARRIVED);
    world.fake(world.target).disconnect();
    world.executor.run_for(5'000);
    EXPECT_FALSE(world.move().cancelled()) << "its agent may only be restarted";
    world.executor.run_for(60'000);
    EXPECT_EQ(world.move().cancelled(), !has_arrived);
    if (has_arrived) continue;
    world.tell(world.source, v1::VmMoveStatus::FAILED);
    expect_stayed(world, accepted, v1::Task::FAILED, "host_lost");
  }
}

TEST(Move, IsGivenUpForWhatIsWantedLater) {
  const std::map<std::string, std::string> changes = {
      {"StopVm", "stopped"}, {"PauseVm", "paused"}, {"RestartVm", "restarted"}};
  for (const auto& [rpc, word] : changes) {
    MoveWorld world;
    const v1::Accepted accepted = begin_move(world);
    world.fake(world.source).asleep = true;
    if (rpc == "PauseVm") {
      world.accept(rpc, World::by_id("web"));
    } else {
      world.accept(rpc, World::stop_request());
    }
    world.executor.run_for(1'000);
    EXPECT_TRUE(world.move().cancelled());
    EXPECT_THAT(world.move().problem().cause(), HasSubstr(word));
    world.fake(world.source).asleep = false;
    world.tell(world.source, v1::VmMoveStatus::FAILED);
    expect_stayed(world, accepted, v1::Task::FAILED, "vm_changed");
  }
}

TEST(Move, ByPostcopyItIsDoneWhenAllOfItsMemoryIsThere) {
  MoveWorld world;
  v1::MoveVmRequest request = MoveWorld::move_request();
  request.set_postcopy(true);
  const v1::Accepted accepted = world.accept("MoveVm", request);
  world.executor.run_for(1'000);
  world.prepare();
  EXPECT_TRUE(world.last_sent(world.source).placement().move().postcopy());
  world.tell(world.source, v1::VmMoveStatus::SENT);
  world.tell(world.target, v1::VmMoveStatus::ARRIVED);
  v1::VmMoveStatus arrived = world.word(v1::VmMoveStatus::ARRIVED);
  arrived.set_downtime_ms(30);
  arrived.set_total_ms(5'000);
  arrived.set_fetching(true);
  const std::string id = world.vm().meta().id();
  world.fake(world.target).moves[id] = arrived;
  world.tell(world.source, v1::VmMoveStatus::GIVEN);
  world.executor.run_for(5'000);
  EXPECT_EQ(world.placement().host_id(), world.target);
  EXPECT_TRUE(world.fake(world.target).runs(id));
  const std::string task_id = accepted.task().meta().id();
  EXPECT_EQ(world.task(task_id).state(), v1::Task::RUNNING);
  EXPECT_THAT(world.task(task_id).progress().phase(), HasSubstr("fetching the rest of its memory"));
  EXPECT_THAT(world.why_not(MoveWorld::move_request(world.source)), HasSubstr("vm_moving"));
  arrived.set_fetching(false);
  arrived.set_total_ms(9'000);
  world.fake(world.target).tell_of_move(world.vm(), arrived);
  const v1::Task task = world.ended(accepted);
  EXPECT_EQ(task.state(), v1::Task::SUCCEEDED) << task.ShortDebugString();
  EXPECT_EQ(task.progress().phase(), "moved in 9000 ms, of which the guest stood still for 30 ms");
  EXPECT_FALSE(world.vm().status().move().fetching());
}

TEST(Move, OfADeletedVmLeavesNothingOnEitherHost) {
  MoveWorld world;
  const v1::Accepted accepted = begin_move(world);
  world.fake(world.target).asleep = true;
  v1::DeleteVmRequest request;
  request.set_id("web");
  const v1::Accepted deletion = world.accept("DeleteVm", request);
  world.executor.run_for(10'000);
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::CANCELLED);
  ASSERT_NE(world.find<v1::Vm>("web"), nullptr) << "something of it is on the target still";
  EXPECT_EQ(world.placement().host_id(), "");
  EXPECT_NE(find_left(world.vm(), world.target), nullptr);
  EXPECT_FALSE(world.core->view().all<v1::Volume>().by_id.empty()) << "what is left there may have it open";
  world.fake(world.target).asleep = false;
  EXPECT_EQ(world.ended(deletion).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.find<v1::Vm>("web"), nullptr);
  EXPECT_TRUE(world.core->view().all<v1::Volume>().by_id.empty());
}

TEST(Move, WhatOthersSayOfItCountsForNothing) {
  MoveWorld world;
  const v1::Accepted accepted = begin_move(world);
  const std::string gamma = world.join("gamma");
  for (const std::string& id : {gamma, world.target}) {
    // As if it were the source: the VM's status, and that it has nothing of it.
    v1::Observation status;
    status.set_id(world.vm().meta().id());
    status.mutable_vm()->set_state(v1::VmStatus::STOPPED);
    *status.mutable_vm()->mutable_move() = world.word(v1::VmMoveStatus::GIVEN);
    world.fake(id).say(status);
    world.executor.run_for(1'000);
    v1::Observation absent;
    absent.set_id(world.vm().meta().id());
    absent.set_absent(true);
    world.fake(id).say(absent);
    world.executor.run_for(1'000);
    EXPECT_EQ(world.placement().host_id(), world.source) << id;
    EXPECT_EQ(world.vm().status().state(), v1::VmStatus::RUNNING) << id;
    EXPECT_TRUE(world.placement().has_move()) << id;
  }
  // Of another move.
  v1::VmMoveStatus other = world.word(v1::VmMoveStatus::GIVEN);
  other.set_task_id("task-000000000000");
  world.tell(world.source, other);
  EXPECT_TRUE(world.placement().has_move());
  EXPECT_FALSE(model::is_ended(world.task(accepted.task().meta().id()).state()));
}

TEST(Move, AnAddressThatIsNoneIsNotTold) {
  MoveWorld world;
  world.accept("MoveVm", MoveWorld::move_request());
  world.executor.run_for(1'000);
  using Spoil = void (*)(v1::MoveAddress&);
  const std::vector<Spoil> spoils = {[](auto& a) { a.set_host("beta; reboot"); }, [](auto& a) { a.set_port(0); },
                                     [](auto& a) { a.set_port(70'000); }, [](auto& a) { a.set_disk_port(70'000); },
                                     [](auto& a) { a.set_secret("'"); }};
  for (const Spoil spoil : spoils) {
    v1::VmMoveStatus status = world.word(v1::VmMoveStatus::PREPARED);
    status.mutable_address()->set_host("192.0.2.7");
    status.mutable_address()->set_port(49'152);
    status.mutable_address()->set_secret(kMoveSecret);
    spoil(*status.mutable_address());
    world.tell(world.target, status);
    EXPECT_FALSE(world.move().target().has_address()) << world.move().ShortDebugString();
  }
  world.prepare();
  EXPECT_TRUE(world.move().target().has_address());
}

TEST(Move, TheSourceConnectsToTheTargetsHostAloneAndGivesItNoDisks) {
  MoveWorld world;
  world.accept("MoveVm", MoveWorld::move_request());
  world.executor.run_for(1'000);
  v1::VmMoveStatus status = world.word(v1::VmMoveStatus::PREPARED);
  status.mutable_address()->set_host("127.0.0.1");
  status.mutable_address()->set_port(49'152);
  status.mutable_address()->set_disk_port(49'153);
  status.mutable_address()->set_secret(kMoveSecret);
  world.tell(world.target, status);
  const v1::MoveAddress told = world.last_sent(world.source).placement().move().target().address();
  EXPECT_EQ(told.host(), world.find<v1::Host>(world.target)->status().address());
  EXPECT_EQ(told.disk_port(), 0);
  EXPECT_EQ(told.secret(), kMoveSecret);
}

TEST(Move, AnAddressThatLeadsToNobodyEndsTheMove) {
  MoveWorld world;
  world.give_address(world.target, "");
  const v1::Accepted accepted = begin_move(world);
  world.tell(world.source, v1::VmMoveStatus::FAILED);
  expect_stayed(world, accepted, v1::Task::FAILED, "no_host_address");
}

TEST(Move, OnlyTheSourceIsToldItsSecret) {
  MoveWorld world;
  begin_move(world);
  EXPECT_EQ(world.last_sent(world.source).placement().move().target().address().secret(), kMoveSecret);
  world.tell(world.target, v1::VmMoveStatus::ARRIVED);
  EXPECT_EQ(world.last_sent(world.target).placement().move().target().address().secret(), "");
}

TEST(Move, UsersNeverSeeItsSecret) {
  MoveWorld world;
  begin_move(world);
  ASSERT_EQ(world.move().target().address().secret(), kMoveSecret);
  for (const char* rpc : {"GetVm", "GetVmPlacement"}) {
    const auto answer = world.call(rpc, World::by_id("web"));
    ASSERT_TRUE(answer);
    EXPECT_THAT((*answer)->ShortDebugString(), HasSubstr("port: 49152"));
    EXPECT_EQ((*answer)->ShortDebugString().find(kMoveSecret), std::string::npos) << rpc;
  }
  const auto list = world.call("ListVms", v1::ListRequest());
  ASSERT_TRUE(list);
  EXPECT_EQ((*list)->ShortDebugString().find(kMoveSecret), std::string::npos);
}

TEST(Move, WhatALeftHostSaidBeforeItLeftIsNotTakenForItsWord) {
  MoveWorld world;
  begin_move(world);
  FakeHost& source = world.fake(world.source);
  source.asleep = true;
  world.tell(world.target, v1::VmMoveStatus::ARRIVED);
  source.asleep = false;
  source.tell_of_move(world.vm(), world.word(v1::VmMoveStatus::GIVEN));
  source.asleep = true;
  world.executor.run_for(5'000);
  ASSERT_EQ(world.placement().host_id(), world.target);
  const v1::LeftHost* left = find_left(world.vm(), world.source);
  ASSERT_NE(left, nullptr);
  v1::Observation absent;
  absent.set_id(world.vm().meta().id());
  absent.set_absent(true);
  for (const std::uint64_t epoch : {std::uint64_t{0}, left->epoch() - 1, left->epoch() + 1}) {
    absent.set_left_epoch(epoch);
    source.say(absent);
    world.executor.run_for(1'000);
    EXPECT_NE(find_left(world.vm(), world.source), nullptr) << epoch;
  }
  // It cannot go back before that is done.
  EXPECT_THAT(world.why_not(MoveWorld::move_request()), HasSubstr("it has yet to take away what it had"));
  EXPECT_EQ(world.reserved(world.source), 1024U);
  absent.set_left_epoch(find_left(world.vm(), world.source)->epoch());
  source.say(absent);
  world.executor.run_for(1'000);
  EXPECT_EQ(find_left(world.vm(), world.source), nullptr);
}

TEST(Move, ThatAHostWasLeftIsNoWordOfADeletion) {
  MoveWorld world;
  world.fake(world.source).asleep = true;
  v1::DeleteVmRequest request;
  request.set_id("web");
  world.accept("DeleteVm", request);
  v1::Observation absent;
  absent.set_id(world.vm().meta().id());
  absent.set_absent(true);
  absent.set_left_epoch(1);
  world.fake(world.source).say(absent);
  world.executor.run_for(1'000);
  EXPECT_EQ(world.placement().host_id(), world.source);
  absent.clear_left_epoch();
  world.fake(world.source).say(absent);
  world.executor.run_for(1'000);
  EXPECT_EQ(world.placement().host_id(), "");
}

TEST(Move, TheTargetsLateWordAsOneThatWaitsIsNoStatus) {
  MoveWorld world;
  begin_move(world);
  world.tell(world.target, v1::VmMoveStatus::ARRIVED);
  world.fake(world.target).asleep = true;
  v1::Observation late;
  late.set_id(world.vm().meta().id());
  *late.mutable_vm()->mutable_move() = world.word(v1::VmMoveStatus::ARRIVED);
  world.tell(world.source, v1::VmMoveStatus::GIVEN);
  ASSERT_EQ(world.placement().host_id(), world.target);
  world.fake(world.target).say(late);
  world.executor.run_for(1'000);
  EXPECT_EQ(world.vm().status().state(), v1::VmStatus::STARTING);
  EXPECT_EQ(world.vm().status().host_id(), world.source);
}

// "web" runs on a host that can leave, which the manager's own machine cannot.
struct LeavingWorld : MoveWorld {
  std::string gamma = join("gamma");

  LeavingWorld() {
    executor.run_for(60'000);
    if (source == kHostId) {
      go(beta);
      source = beta;
    }
    target = kHostId;
  }
  void go(const std::string& to) {
    const v1::Accepted accepted = accept("MoveVm", move_request(to));
    executor.run_for(1'000);
    prepare();
    tell(to, v1::VmMoveStatus::ARRIVED);
    tell(source, v1::VmMoveStatus::GIVEN);
    EXPECT_EQ(ended(accepted).state(), v1::Task::SUCCEEDED);
    fake(to).moves.clear();
    executor.run_for(5'000);
  }
};

TEST(Move, OfAHostThatLeavesNothingIsWaitedForThatTheGuestLeft) {
  LeavingWorld world;
  const v1::Accepted accepted = begin_move(world);
  world.tell(world.target, v1::VmMoveStatus::ARRIVED);
  FakeHost& source = world.fake(world.source);
  source.tell_of_move(world.vm(), world.word(v1::VmMoveStatus::GIVEN));
  source.asleep = true;
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED);
  ASSERT_NE(find_left(world.vm(), world.source), nullptr);
  source.disconnect();
  world.executor.run_for(60'000);
  ASSERT_NE(find_left(world.vm(), world.source), nullptr);
  EXPECT_EQ(world.ended(world.accept("DeleteHost", World::leave(world.source))).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(find_left(world.vm(), world.source), nullptr);
  EXPECT_EQ(world.placement().host_id(), world.target) << "the guest is nothing of that host's";
  EXPECT_EQ(world.vm().status().state(), v1::VmStatus::RUNNING);
}

TEST(Move, AHostThatAGuestComesToLeavesOnlyAfterTheMove) {
  LeavingWorld world;
  const std::string to = world.source == world.beta ? world.gamma : world.beta;
  const v1::Accepted accepted = world.accept("MoveVm", MoveWorld::move_request(to));
  world.executor.run_for(1'000);
  EXPECT_EQ(world.refused("DeleteHost", World::leave(to)), "host_not_empty");
  world.tell(world.source, v1::VmMoveStatus::FAILED);
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::FAILED);
  EXPECT_EQ(world.ended(world.accept("DeleteHost", World::leave(to))).state(), v1::Task::SUCCEEDED);
  EXPECT_THAT(world.placement().left_hosts(), IsEmpty());
}

TEST(Move, AVmThatIsGivenUpWithItsHostIsStillTakenAwayElsewhere) {
  LeavingWorld world;
  begin_move(world);
  for (const std::string& id : {world.source, world.target}) world.fake(id).asleep = true;
  v1::DeleteVmRequest request;
  request.set_id("web");
  const v1::Accepted deletion = world.accept("DeleteVm", request);
  world.executor.run_for(10'000);
  world.fake(world.source).disconnect();
  world.executor.run_for(60'000);
  v1::DeleteHostRequest leave = World::leave(world.source);
  leave.set_machine_is_off(true);
  EXPECT_EQ(world.ended(world.accept("DeleteHost", leave)).state(), v1::Task::SUCCEEDED);
  ASSERT_NE(world.find<v1::Vm>("web"), nullptr);
  ASSERT_NE(find_left(world.vm(), world.target), nullptr);
  EXPECT_EQ(find_left(world.vm(), world.target)->lease_pool(), world.vm().spec().lease_pool()) << "nobody else has it";
  world.fake(world.target).asleep = false;
  EXPECT_EQ(world.ended(deletion).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.find<v1::Vm>("web"), nullptr);
}

}  // namespace
}  // namespace gantry::control
