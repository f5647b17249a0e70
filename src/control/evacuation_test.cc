// Maintenance of hosts on which guests run.
#include "control/evacuation.h"

#include <gmock/gmock.h>

#include "control/move_world.h"
#include "model/limits.h"

namespace gantry::control {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

v1::UpdateHostRequest maintenance(const std::string& host, bool on = true) {
  v1::UpdateHostRequest request;
  request.set_id(host);
  request.set_maintenance(on);
  request.mutable_update_mask()->add_paths("maintenance");
  return request;
}

// Three hosts that share a pool; guests are put where the test wants them by cordoning the others.
struct EmptyingWorld : MoveWorld {
  std::string gamma = join("gamma");

  EmptyingWorld() {
    give_address(gamma, "192.0.2.3");
    executor.run_for(60'000);
    EXPECT_EQ(ended(accept("StopVm", stop_request(true))).state(), v1::Task::SUCCEEDED);
  }

  void cordon(const std::string& host_id, bool on) {
    v1::UpdateHostRequest request;
    request.set_id(host_id);
    request.set_cordoned(on);
    request.mutable_update_mask()->add_paths("cordoned");
    accept("UpdateHost", request);
  }
  void launch(const v1::CreateVmRequest& request, const std::string& host_id) {
    for (const std::string& other : {kHostId, beta, gamma}) cordon(other, other != host_id);
    ASSERT_EQ(ended(accept("CreateVm", request)).state(), v1::Task::SUCCEEDED);
    for (const std::string& other : {kHostId, beta, gamma}) cordon(other, false);
    ASSERT_EQ(vm(request.name()).placement().host_id(), host_id);
  }
  void launch(const std::string& name, const std::string& host_id) { launch(vm_there(name), host_id); }
  // It is to stay there.
  void launch_bound(const std::string& name) {
    v1::CreateVmRequest request;
    request.set_name(name);
    request.mutable_spec()->set_memory_mib(512);
    request.mutable_spec()->set_host(beta);
    request.mutable_spec()->add_disks()->mutable_create()->set_capacity_bytes(1ULL << 30U);
    ASSERT_EQ(ended(accept("CreateVm", request)).state(), v1::Task::SUCCEEDED);
  }
  void stop(const std::string& name) {
    v1::StopVmRequest request;
    request.set_id(name);
    request.set_force(true);
    ASSERT_EQ(ended(accept("StopVm", request)).state(), v1::Task::SUCCEEDED);
  }

  [[nodiscard]] std::string where(const std::string& name) const { return vm(name).placement().host_id(); }
  [[nodiscard]] std::vector<std::string> moving() const {
    std::vector<std::string> names;
    for (const auto& [name, id] : core->view().all<v1::Vm>().id_by_name) {
      if (vm(name).placement().has_move()) names.push_back(name);
    }
    return names;
  }
  [[nodiscard]] std::size_t move_tasks() const {
    std::size_t count = 0;
    for (const auto& [id, task] : core->view().all<v1::Task>().by_id) count += task.action() == "vm.move" ? 1U : 0U;
    return count;
  }
  void say(const std::string& name, const std::string& host_id, v1::VmMoveStatus::Phase phase) {
    v1::VmMoveStatus status;
    status.set_task_id(vm(name).placement().move().task_id());
    status.set_phase(phase);
    fake(host_id).tell_of_move(vm(name), status);
    executor.run_for(200);
  }
  // Its hosts do all of it.
  void carry_out_move(const std::string& name) {
    const v1::VmPlacement before = vm(name).placement();
    say(name, before.move().host_id(), v1::VmMoveStatus::ARRIVED);
    say(name, before.host_id(), v1::VmMoveStatus::GIVEN);
    executor.run_for(3'000);
    fake(before.move().host_id()).moves.clear();
  }
  void fail_move(const std::string& name) {
    say(name, where(name), v1::VmMoveStatus::FAILED);
    fake(where(name)).moves.clear();
    executor.run_for(3'000);
  }
  [[nodiscard]] std::string told(const v1::Accepted& accepted) const {
    return task(accepted.task().meta().id()).progress().phase();
  }
  [[nodiscard]] v1::Task::State state(const v1::Accepted& accepted) const {
    return task(accepted.task().meta().id()).state();
  }
};

TEST(Evacuation, MovesTwoAtOnceUntilNoneIsLeft) {
  EmptyingWorld world;
  for (const char* name : {"a", "b", "c"}) world.launch(name, world.beta);
  const v1::Accepted accepted = world.accept("UpdateHost", maintenance("beta"));
  EXPECT_TRUE(world.find<v1::Host>("beta")->spec().maintenance());
  world.executor.run_for(5'000);
  ASSERT_EQ(world.moving().size(), model::kMovesAtOnce);
  EXPECT_THAT(world.told(accepted), HasSubstr("3 of 3 guests left; moving "));
  const v1::Vm& first = world.vm(world.moving().front());
  const v1::Task move = world.task(first.placement().move().task_id());
  EXPECT_EQ(move.actor(), "admin");
  EXPECT_THAT(move.plan().steps(0), HasSubstr("because it goes into maintenance"));
  EXPECT_NE(move.plan().placement().host_id(), "");
  for (int i = 0; i < 3; ++i) {
    ASSERT_FALSE(world.moving().empty());
    EXPECT_EQ(world.state(accepted), v1::Task::RUNNING);
    world.carry_out_move(world.moving().front());
  }
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED);
  for (const char* name : {"a", "b", "c"}) EXPECT_NE(world.where(name), world.beta);
  EXPECT_EQ(world.move_tasks(), 3U);
  // What was moved is not brought back.
  EXPECT_EQ(world.ended(world.accept("UpdateHost", maintenance("beta", false))).state(), v1::Task::SUCCEEDED);
  world.executor.run_for(120'000);
  EXPECT_EQ(world.move_tasks(), 3U);
}

TEST(Evacuation, HostsThatAreEmptiedTogetherDoNotOverrunTheOneThatIsLeft) {
  EmptyingWorld world;
  for (const char* name : {"a", "b"}) world.launch(name, world.beta);
  for (const char* name : {"c", "d"}) world.launch(name, world.gamma);
  const v1::Accepted one = world.accept("UpdateHost", maintenance("beta"));
  const v1::Accepted other = world.accept("UpdateHost", maintenance("gamma"));
  for (int i = 0; i < 4; ++i) {
    world.executor.run_for(5'000);
    std::size_t coming = 0;
    for (const std::string& name : world.moving()) {
      coming += world.vm(name).placement().move().host_id() == kHostId ? 1U : 0U;
    }
    EXPECT_LE(coming, model::kMovesAtOnce);
    ASSERT_FALSE(world.moving().empty()) << world.told(one) << "\n" << world.told(other);
    world.carry_out_move(world.moving().front());
  }
  // One may have gone to the other, and on.
  for (int i = 0; i < 4 && !world.moving().empty(); ++i) {
    world.carry_out_move(world.moving().front());
    world.executor.run_for(5'000);
  }
  EXPECT_EQ(world.ended(one).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.ended(other).state(), v1::Task::SUCCEEDED);
  for (const char* name : {"a", "b", "c", "d"}) EXPECT_EQ(world.where(name), kHostId);
}

TEST(Evacuation, SaysWhyAGuestStaysAndEndsWhenThatIsStopped) {
  EmptyingWorld world;
  world.launch("a", world.beta);
  world.launch_bound("data");
  const v1::Accepted accepted = world.accept("UpdateHost", maintenance("beta"));
  EXPECT_THAT(accepted.plan().warnings(),
              ElementsAre(AllOf(HasSubstr("VM data stays"), HasSubstr("it is bound to host \"beta\""))));
  EXPECT_THAT(accepted.plan().steps(), Contains(HasSubstr("move VM a to host ")));
  world.executor.run_for(5'000);
  world.carry_out_move("a");
  world.executor.run_for(60'000);
  EXPECT_EQ(world.state(accepted), v1::Task::RUNNING);
  EXPECT_THAT(world.told(accepted),
              AllOf(HasSubstr("1 of 2 guests left; data: "), HasSubstr("it is bound to host \"beta\"")));
  EXPECT_EQ(world.task(accepted.task().meta().id()).progress().percent(), 50U);
  const std::size_t commits = world.store.commits;
  world.executor.run_for(20'000);
  EXPECT_EQ(world.store.commits, commits) << "to try in vain is no news";
  world.stop("data");
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.refused("StartVm", World::by_id("data")), "no_host_fits");
}

TEST(Evacuation, ADryRunChangesNothingAndCountsWhatGoesTogether) {
  EmptyingWorld world;
  for (const char* name : {"a", "b"}) {
    v1::CreateVmRequest large = MoveWorld::vm_there(name);
    large.mutable_spec()->set_memory_mib(3 * 1024);
    world.launch(large, world.beta);
  }
  // One has room for one of them, and one for none.
  v1::CreateVmRequest filler = MoveWorld::vm_there("filler");
  filler.mutable_spec()->set_memory_mib(4 * 1024);
  world.launch(filler, kHostId);
  filler.set_name("more");
  filler.mutable_spec()->set_memory_mib(6 * 1024);
  world.launch(filler, world.gamma);
  const std::uint64_t revision = world.find<v1::Host>("beta")->meta().revision();
  const v1::Accepted planned =
      world.accept("UpdateHost", maintenance("beta"), {.actor = "admin", .dry_run = true, .if_match = revision});
  EXPECT_THAT(planned.plan().steps(), Contains(HasSubstr("move VM a to host ")));
  EXPECT_THAT(planned.plan().warnings(), ElementsAre(AllOf(HasSubstr("VM b stays"), HasSubstr("left to promise"))));
  EXPECT_FALSE(world.find<v1::Host>("beta")->spec().maintenance());
  world.executor.run_for(5'000);
  EXPECT_EQ(world.move_tasks(), 0U);
}

TEST(Evacuation, APausedGuestGoesOnceItRuns) {
  EmptyingWorld world;
  world.launch("a", world.beta);
  ASSERT_EQ(world.ended(world.accept("PauseVm", World::by_id("a"))).state(), v1::Task::SUCCEEDED);
  const v1::Accepted accepted = world.accept("UpdateHost", maintenance("beta"));
  world.executor.run_for(10'000);
  EXPECT_THAT(world.told(accepted), HasSubstr("a: it is paused"));
  ASSERT_EQ(world.ended(world.accept("ResumeVm", World::by_id("a"))).state(), v1::Task::SUCCEEDED);
  world.executor.run_for(3'000);
  EXPECT_THAT(world.moving(), ElementsAre("a"));
}

TEST(Evacuation, GoesOnWhenThereIsRoomAgain) {
  EmptyingWorld world;
  world.launch("a", world.beta);
  for (const std::string& other : {kHostId, world.gamma}) world.cordon(other, true);
  const v1::Accepted accepted = world.accept("UpdateHost", maintenance("beta"));
  world.executor.run_for(10'000);
  EXPECT_THAT(world.told(accepted), HasSubstr("it is cordoned"));
  EXPECT_THAT(world.moving(), IsEmpty());
  world.cordon(world.gamma, false);
  world.executor.run_for(35'000);
  EXPECT_THAT(world.moving(), ElementsAre("a"));
  EXPECT_EQ(world.vm("a").placement().move().host_id(), world.gamma);
}

TEST(Evacuation, AMoveThatFailedIsTriedAgainLaterAndLater) {
  EmptyingWorld world;
  world.launch("a", world.beta);
  const v1::Accepted accepted = world.accept("UpdateHost", maintenance("beta"));
  world.executor.run_for(3'000);
  world.fail_move("a");
  EXPECT_THAT(world.told(accepted), HasSubstr("a: VM \"a\" was not moved"));
  world.executor.run_for(20'000);
  EXPECT_EQ(world.move_tasks(), 1U);
  world.executor.run_for(15'000);
  ASSERT_EQ(world.move_tasks(), 2U);
  world.fail_move("a");
  world.executor.run_for(45'000);
  EXPECT_EQ(world.move_tasks(), 2U) << "twice as long as before";
  world.executor.run_for(25'000);
  EXPECT_EQ(world.move_tasks(), 3U);
}

TEST(Evacuation, AnotherManagerGoesOn) {
  EmptyingWorld world;
  for (const char* name : {"a", "b", "c"}) world.launch(name, world.beta);
  const v1::Accepted accepted = world.accept("UpdateHost", maintenance("beta"));
  world.executor.run_for(3'000);
  const auto before = world.moving();
  world.restart();
  for (const auto& [id, host] : world.joined) host->connect();
  world.executor.run_for(5'000);
  EXPECT_EQ(world.moving(), before);
  EXPECT_EQ(world.move_tasks(), model::kMovesAtOnce);
  for (int i = 0; i < 3; ++i) {
    ASSERT_FALSE(world.moving().empty());
    world.carry_out_move(world.moving().front());
  }
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED);
}

TEST(Evacuation, ToCancelItTakesTheMaintenanceBackAndLetsMovesGoOn) {
  EmptyingWorld world;
  for (const char* name : {"a", "b", "c"}) world.launch(name, world.beta);
  const v1::Accepted accepted = world.accept("UpdateHost", maintenance("beta"));
  world.executor.run_for(5'000);
  const auto moving = world.moving();
  ASSERT_EQ(moving.size(), model::kMovesAtOnce);
  ASSERT_TRUE(world.call("CancelTask", World::by_id(accepted.task().meta().id())));
  EXPECT_EQ(world.state(accepted), v1::Task::CANCELLED);
  EXPECT_FALSE(world.find<v1::Host>("beta")->spec().maintenance());
  EXPECT_EQ(world.moving(), moving);
  for (const std::string& name : moving) world.carry_out_move(name);
  world.executor.run_for(60'000);
  EXPECT_EQ(world.move_tasks(), 2U);
}

TEST(Evacuation, IsOverWhenItsMaintenanceIsEndedByAnother) {
  EmptyingWorld world;
  world.launch_bound("data");
  const v1::Accepted first = world.accept("UpdateHost", maintenance("beta"));
  const v1::Accepted second = world.accept("UpdateHost", maintenance("beta"));
  world.executor.run_for(2'000);
  EXPECT_EQ(world.state(first), v1::Task::RUNNING);
  EXPECT_EQ(world.state(second), v1::Task::RUNNING) << "who asks again waits too";
  world.accept("UpdateHost", maintenance("beta", false));
  for (const v1::Accepted& accepted : {first, second}) {
    const v1::Task task = world.ended(accepted);
    EXPECT_EQ(task.state(), v1::Task::CANCELLED);
    EXPECT_EQ(task.problem().code(), "superseded");
    EXPECT_THAT(task.problem().cause(), HasSubstr("its maintenance was ended"));
  }
}

TEST(Evacuation, ACallMeanwhileIsNotPromisedTheSameMemory) {
  EmptyingWorld world;
  v1::CreateVmRequest large = MoveWorld::vm_there("a");
  large.mutable_spec()->set_memory_mib(5 * 1024);
  world.launch(large, world.beta);
  world.cordon(world.gamma, true);
  const v1::Accepted accepted = world.accept("UpdateHost", maintenance("beta"));
  large.set_name("b");
  const std::string refused = world.refused("CreateVm", large);
  world.executor.run_for(40'000);
  EXPECT_EQ(refused.empty(), world.moving().empty()) << "one of them, and not both: " << world.told(accepted);
  EXPECT_LE(world.reserved(kHostId), 8U * 1024);
}

TEST(Evacuation, ManyThatCannotGoKeepNobodyWaiting) {
  EmptyingWorld world;
  for (int i = 0; i < 10; ++i) world.launch_bound("data" + std::to_string(i));
  world.launch("zebra", world.beta);
  const v1::Accepted accepted = world.accept("UpdateHost", maintenance("beta"));
  world.executor.run_for(10'000);
  EXPECT_THAT(world.moving(), ElementsAre("zebra"));
  EXPECT_THAT(world.told(accepted),
              AllOf(HasSubstr("11 of 11 guests left; moving zebra; data0: "), HasSubstr("; 5 more")));
}

// Its move is guarded against calls; but a call's own word there tells whether it was committed, should its answer be
// lost.
TEST(Evacuation, IsGuardedAndLeavesTheWordOfTheLastCall) {
  EmptyingWorld world;
  world.launch("a", world.beta);
  const v1::Accepted accepted = world.accept("UpdateHost", maintenance("beta"));
  world.executor.run_for(3'000);
  ASSERT_THAT(world.moving(), ElementsAre("a"));
  const auto& entries = world.store.entries();
  const port::Entry& guard = entries.at(std::string(kAdmissionKey));
  const std::string& task_id = world.vm("a").placement().move().task_id();
  EXPECT_EQ(guard.modified, entries.at(model::record_key(model::kTask, task_id)).created);
  EXPECT_EQ(guard.value, accepted.task().meta().id());
}

}  // namespace
}  // namespace gantry::control
