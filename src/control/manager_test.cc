// The manager when things go wrong: unknown and failing commits, conflicts, crashes, lost and stale messages.
#include "control/manager.h"

#include <gmock/gmock.h>

#include "base/rng.h"
#include "control/answers.h"
#include "control/assignments.h"
#include "control/test_world.h"
#include "model/bridge_name.h"

namespace gantry::control {
namespace {

using Fault = FakeStore::Fault;

std::size_t starts(const FakeHost& host) {
  std::size_t count = 0;
  for (const std::string& deed : host.deeds) count += deed.rfind("start ", 0) == 0 ? 1 : 0;
  return count;
}

TEST(Manager, AnUnknownCommitIsSettledBeforeAnswering) {
  for (const Fault fault : {Fault::unknown_written, Fault::unknown_lost, Fault::unknown_late}) {
    World world;
    world.make_image();
    world.store.faults = {fault, fault};
    const v1::Accepted accepted = world.accept("CreateVm", World::vm_request());
    EXPECT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED);
    EXPECT_EQ(world.store.all<v1::Vm>(model::kVm).size(), 1U);
    EXPECT_EQ(starts(world.host), 1U);
    std::size_t creates = 0;
    for (const v1::Task& task : world.store.all<v1::Task>(model::kTask))
      creates += task.action() == "vm.create" ? 1 : 0;
    EXPECT_EQ(creates, 1U);
  }
}

TEST(Manager, AnUnavailableStoreIsTriedAgainThenTold) {
  World world;
  world.make_image();
  world.store.faults = {Fault::unavailable, Fault::unavailable};
  EXPECT_EQ(world.make_vm("a").state(), v1::Task::SUCCEEDED);
  world.store.choose_fault = [](const port::Txn&) { return Fault::unavailable; };
  EXPECT_EQ(world.refused("CreateVm", World::vm_request("b")), "unavailable");
  world.store.choose_fault = {};
  EXPECT_EQ(world.make_vm("c").state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.find<v1::Vm>("b"), nullptr);
}

TEST(Manager, ACallWhoseFateIsLongUnknownIsAnsweredAndSettledLater) {
  World world;
  world.make_image();
  world.store.choose_fault = [](const port::Txn&) { return Fault::unknown_lost; };
  EXPECT_EQ(world.refused("CreateVm", World::vm_request("a")), "timed_out");
  EXPECT_EQ(world.refused("CreateVm", World::vm_request("b")), "unavailable");
  world.store.choose_fault = {};
  EXPECT_EQ(world.make_vm("c").state(), v1::Task::SUCCEEDED);
  EXPECT_NE(world.find<v1::Vm>("a"), nullptr);
  EXPECT_EQ(world.find<v1::Vm>("b"), nullptr);
}

// A transaction that no store takes: a defect of ours.
TEST(Manager, WhatTheStoreCallsInvalidIsToldAndNotTriedAgainAndAgain) {
  World world;
  world.make_image();
  std::vector<std::string> lines;
  world.options.log = [&](std::string_view line) { lines.emplace_back(line); };
  world.restart();
  world.executor.run_for(1'000);
  world.store.detail = "invalid: too large";
  world.store.faults = {Fault::unavailable};
  EXPECT_EQ(world.refused("CreateVm", World::vm_request("a")), "internal");
  EXPECT_TRUE(world.store.faults.empty());
  EXPECT_EQ(world.make_vm("b").state(), v1::Task::SUCCEEDED);
  EXPECT_TRUE(lines.empty());
  world.store.choose_fault = [](const port::Txn&) { return Fault::unavailable; };
  world.host.memory_bytes *= 2;
  world.host.connect();
  world.executor.run_for(60'000);
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_NE(lines[0].find("too large"), std::string::npos) << lines[0];
}

TEST(Manager, AConflictIsPlannedAgain) {
  World world;
  world.make_image();
  world.store.faults = {Fault::conflict, Fault::conflict, Fault::conflict};
  EXPECT_EQ(world.make_vm().state(), v1::Task::SUCCEEDED);
}

// Another manager that accepts changes over the same store takes names and memory that ours must not give again.
TEST(Manager, TwoManagersNeverPromiseTheSame) {
  World world;
  world.make_image();
  FakeLink other_link;
  ManagerOptions options;
  options.seed = 777;
  ManagerCore other(world.store, other_link, world.executor, options);
  other.start();
  world.executor.run_for(100);
  v1::CreateVmRequest first = World::vm_request("a");
  first.mutable_spec()->set_memory_mib(5000);
  v1::CreateVmRequest second = World::vm_request("b");
  second.mutable_spec()->set_memory_mib(5000);
  std::vector<std::string> words;
  const auto note = [&](World::Answered answer) { words.push_back(answer ? "" : answer.error().word()); };
  world.core->call("CreateVm", first, {.actor = "x"}, note);
  other.call("CreateVm", second, {.actor = "y"}, note);
  world.executor.run_for(5'000);
  EXPECT_THAT(words, testing::UnorderedElementsAre("", "no_host_fits"));
}

TEST(Manager, AnUnknownCommitOfWhatMakesNoTaskIsSettledToo) {
  for (const Fault fault : {Fault::unknown_written, Fault::unknown_lost, Fault::unknown_late}) {
    World world;
    world.make_image_to_upload();
    world.executor.run_for(1'000);
    world.store.faults = {fault, fault};
    const auto announced = world.call("UploadImage", World::by_id("mine"));
    ASSERT_TRUE(announced) << announced.error().to_text();
    EXPECT_EQ(dynamic_cast<v1::Image&>(**announced).meta().generation(), 2U);

    world.accept("CreateImage", World::image_request("other"));
    v1::CreateVmRequest vm = World::vm_request();
    vm.mutable_spec()->set_image("other");
    world.accept("CreateVm", vm);
    world.executor.run_for(1'000);
    const v1::Accepted stop = world.accept("StopVm", World::stop_request());
    world.store.faults = {fault, fault};
    const auto cancelled = world.call("CancelTask", World::by_id(stop.task().meta().id()));
    ASSERT_TRUE(cancelled) << cancelled.error().to_text();
    EXPECT_EQ(dynamic_cast<v1::Task&>(**cancelled).state(), v1::Task::CANCELLED);
  }
}

// A bridge that another installation left behind is in a new network's way; that of a network on record is not, once
// the network is gone.
TEST(Manager, OnlyBridgesOfNetworksOnRecordAreNotInTheWay) {
  World world;
  world.make_image();
  world.make_vm();
  const auto& networks = world.core->view().all<v1::Network>().by_id;
  ASSERT_EQ(networks.size(), 1U);
  ManagerOptions options;
  options.seed = 777;
  options.taken_subnets = {
      {model::parse_ipv4_subnet("10.66.7.0/24").value(), model::bridge_name(networks.begin()->first)},
      {model::parse_ipv4_subnet("10.66.8.0/24").value(), "gn-left-behind"},
      {model::parse_ipv4_subnet("192.0.2.0/24").value(), "eth0"}};
  FakeLink link;
  ManagerCore again(world.store, link, world.executor, options);
  again.start();
  world.executor.run_for(100);
  std::vector<std::string> devices;
  for (const HostSubnet& one : again.view().host_subnets) devices.push_back(one.device);
  EXPECT_THAT(devices, testing::ElementsAre("gn-left-behind", "eth0"));
}

TEST(Manager, TheHostsOwnSegmentsAreKnownAlsoWhenEverythingIsReadAnew) {
  World world;
  world.core.reset();
  world.options.taken_subnets = {{model::parse_ipv4_subnet("10.66.1.0/24").value(), "eth0"}};
  world.restart();
  world.executor.run_for(1'000);
  world.store.break_watches();
  world.executor.run_for(1'000);
  v1::CreateNetworkRequest request;
  request.set_name("second");
  request.mutable_spec()->set_kind(v1::NetworkSpec::NAT);
  world.accept("CreateNetwork", request);
  EXPECT_EQ(world.find<v1::Network>("second")->spec().ipv4_subnet(), "10.66.2.0/24");
}

TEST(Manager, WritesNothingWhenIdleButThatTheHostIsThere) {
  World world;
  world.make_image();
  world.make_vm();
  world.executor.run_for(30'000);
  const auto commits = world.store.commits;
  const auto vm_revision = world.vm().meta().revision();
  for (int i = 0; i < 400; ++i) {
    world.host.connect();
    world.executor.run_for(15'000);
    const auto seen_ms = time_of(world.core->view().find<v1::Host>(kHostId)->status().last_seen_at());
    EXPECT_LE(world.executor.now().unix_ms - seen_ms, 90'000);
  }
  // Once a minute, of a hundred.
  EXPECT_LE(world.store.commits, commits + 100);
  EXPECT_EQ(world.vm().meta().revision(), vm_revision);
}

TEST(Manager, GoesOnWhenItsWatchBreaks) {
  World world;
  world.make_image();
  for (int i = 0; i < 5; ++i) {
    world.store.break_watches();
    EXPECT_EQ(world.make_vm("vm" + std::to_string(i)).state(), v1::Task::SUCCEEDED);
  }
}

TEST(Manager, LostAssignmentsAreSentAgain) {
  World world;
  world.make_image();
  int lost = 0;
  world.link.to_host = [&](const std::string&, const v1::ToHost& message) {
    if (++lost > 3) world.host.receive(message);
  };
  EXPECT_EQ(world.make_vm().state(), v1::Task::SUCCEEDED);
}

TEST(Manager, AHostIsToldEverythingNowAndThen) {
  World world;
  world.make_image();
  world.make_vm();
  world.executor.run_for(30'000);
  std::size_t told = 0;
  world.link.to_host = [&](const std::string&, const v1::ToHost& message) {
    if (message.complete()) told = static_cast<std::size_t>(message.assignments_size());
  };
  world.executor.run_for(3 * world.options.resend_ms);
  EXPECT_EQ(told, 5U) << "pool, network, image, volume and VM";
}

TEST(Manager, OldObservationsAreLeftOut) {
  World world;
  world.make_image();
  v1::FromHost old = world.host.begin();
  world.make_vm();
  v1::Observation& observation = *old.add_observations();
  observation.set_id(world.vm().meta().id());
  observation.mutable_vm()->set_state(v1::VmStatus::STOPPED);
  world.link.say(old);
  world.executor.run_for(1'000);
  EXPECT_EQ(world.vm().status().state(), v1::VmStatus::RUNNING);
}

TEST(Manager, AbsenceWithoutADeletionIsNoDeletion) {
  World world;
  world.make_image();
  world.make_vm();
  v1::Observation observation;
  observation.set_id(world.vm().meta().id());
  observation.set_absent(true);
  world.host.say(observation);
  world.executor.run_for(1'000);
  EXPECT_EQ(world.vm().placement().host_id(), kHostId);
}

TEST(Manager, SmallMovementsOfSizesAreNotWritten) {
  World world;
  const std::string pool_id = world.find<v1::Pool>("default")->meta().id();
  world.host.asleep = true;
  const auto say = [&](std::uint64_t available_bytes) {
    v1::Observation observation;
    observation.set_id(pool_id);
    observation.mutable_pool()->set_state(v1::PoolStatus::READY);
    observation.mutable_pool()->set_capacity_bytes(100ULL << 30U);
    observation.mutable_pool()->set_available_bytes(available_bytes);
    world.host.say(observation);
    world.executor.run_for(1'000);
  };
  say(50ULL << 30U);
  const auto commits = world.store.commits;
  say((50ULL << 30U) + 4096);
  EXPECT_EQ(world.store.commits, commits);
  say(40ULL << 30U);
  EXPECT_EQ(world.store.commits, commits + 1);
}

// Hosts learn nothing that the store does not hold.
TEST(Manager, AssignmentsComeFromTheStoreAlone) {
  World world;
  world.make_image();
  bool all_committed = true;
  world.link.to_host = [&](const std::string&, const v1::ToHost& message) {
    for (const v1::Assignment& assignment : message.assignments()) {
      if (!assignment.has_vm()) continue;
      const auto found = world.store.entries().find(model::record_key(model::kVm, assignment.vm().meta().id()));
      all_committed = all_committed && found != world.store.entries().end();
    }
    world.host.receive(message);
  };
  world.store.faults = {Fault::unknown_lost, Fault::unavailable, Fault::conflict};
  world.make_vm();
#ifdef GANTRY_BREAK_ACT_BEFORE_COMMIT
  EXPECT_FALSE(all_committed);
#else
  EXPECT_TRUE(all_committed);
#endif
}

TEST(Manager, CallsBeforeTheStoreAnswersWait) {
  FakeExecutor executor;
  FakeStore store(executor);
  FakeLink link;
  ManagerCore core(store, link, executor, {.seed = 5});
  std::optional<std::string> word;
  core.call("ListVms", v1::ListRequest(), {.actor = "x"},
            [&](World::Answered answer) { word = answer ? "fine" : answer.error().word(); });
  executor.run_for(1'000);
  EXPECT_FALSE(word);
  core.start();
  executor.run_for(1'000);
  EXPECT_EQ(word, "fine");
}

// The manager is killed after every single piece of work, one after another, through a whole life.
TEST(Manager, ACrashAtAnyStepLosesNothingAndDoesNothingTwice) {
  for (int crash_at = 1; crash_at < 60; ++crash_at) {
    World world;
    world.make_image();
    const port::CallOptions options{.actor = "admin", .idempotency_key = "life"};
    bool answered = false;
    const auto ask = [&] {
      world.core->call("CreateVm", World::vm_request(), options, [&](World::Answered) { answered = true; });
    };
    ask();
    const Milliseconds end_ms = world.executor.now().monotonic_ms + 20;
    for (int i = 0; i < crash_at; ++i) world.executor.step(end_ms);
    world.restart();
    if (!answered) ask();
    world.executor.run_for(30'000);
    ASSERT_EQ(world.store.all<v1::Vm>(model::kVm).size(), 1U) << crash_at;
    ASSERT_EQ(world.vm().status().state(), v1::VmStatus::RUNNING) << crash_at;
    ASSERT_EQ(starts(world.host), 1U) << crash_at;
    for (const v1::Task& task : world.store.all<v1::Task>(model::kTask)) {
      ASSERT_EQ(task.state(), v1::Task::SUCCEEDED) << crash_at << task.ShortDebugString();
    }

    v1::DeleteVmRequest remove;
    remove.set_id("web");
    world.core->call("DeleteVm", remove, {.actor = "admin"}, [](World::Answered) {});
    const Milliseconds later_ms = world.executor.now().monotonic_ms + 20;
    for (int i = 0; i < crash_at; ++i) world.executor.step(later_ms);
    world.restart();
    world.executor.run_for(30'000);
    const bool accepted = world.find<v1::Vm>("web") == nullptr;
    ASSERT_TRUE(accepted || !world.vm().meta().has_deletion()) << crash_at;
    for (const v1::Task& task : world.store.all<v1::Task>(model::kTask)) {
      ASSERT_EQ(task.state(), v1::Task::SUCCEEDED) << crash_at << task.ShortDebugString();
    }
  }
}

// Random commands against random faults: in the end all tasks have ended and all is as wished.
TEST(Manager, EndsEveryTaskUnderRandomFaults) {
  for (std::uint64_t seed = 1; seed <= 15; ++seed) {
    World world;
    world.make_image();
    Rng rng(seed);
    world.store.choose_fault = [&rng](const port::Txn&) {
      constexpr Fault kFaults[] = {Fault::unavailable, Fault::unknown_written, Fault::unknown_lost, Fault::unknown_late,
                                   Fault::conflict};
      return rng.chance(1, 3) ? kFaults[rng.below(5)] : Fault::none;
    };
    const std::vector<std::string> rpcs = {"StartVm", "PauseVm", "ResumeVm", "ResetVm"};
    for (int i = 0; i < 60; ++i) {
      const std::string name(1, static_cast<char>('a' + rng.below(3)));
      v1::StopVmRequest stop;
      stop.set_id(name);
      v1::DeleteVmRequest remove;
      remove.set_id(name);
      const auto ignore = [](World::Answered) {};
      switch (rng.below(6)) {
        case 0: world.core->call("CreateVm", World::vm_request(name), {.actor = "x"}, ignore); break;
        case 1: world.core->call("DeleteVm", remove, {.actor = "x"}, ignore); break;
        case 2: world.core->call(rng.chance(1, 2) ? "StopVm" : "RestartVm", stop, {.actor = "x"}, ignore); break;
        default: world.core->call(rpcs[rng.below(4)], World::by_id(name), {.actor = "x"}, ignore); break;
      }
      if (rng.chance(1, 10)) world.restart();
      if (rng.chance(1, 10)) world.store.break_watches();
      world.executor.run_for(static_cast<Milliseconds>(rng.below(200)));
    }
    world.store.choose_fault = {};
    world.executor.run_for(60'000);
    for (const v1::Task& task : world.store.all<v1::Task>(model::kTask)) {
      ASSERT_TRUE(model::is_ended(task.state())) << seed << " " << task.ShortDebugString();
    }
    for (const v1::Vm& vm : world.store.all<v1::Vm>(model::kVm)) {
      ASSERT_TRUE(model::is_converged(vm) || vm.spec().power() == v1::VmSpec::STOPPED) << seed << vm.ShortDebugString();
      ASSERT_EQ(world.host.runs(vm.meta().id()), vm.spec().power() != v1::VmSpec::STOPPED) << seed;
    }
  }
}

// The server's own apart.
TEST(Answers, EveryRouteThatReadsIsAnswered) {
  const auto* service = v1::Empty::descriptor()->file()->FindServiceByName("Gantry");
  ASSERT_NE(service, nullptr);
  const View view;
  for (int i = 0; i < service->method_count(); ++i) {
    const auto* method = service->method(i);
    const v1::Route& route = method->options().GetExtension(v1::route);
    if (route.kind() != v1::Route::READ || route.anonymous()) continue;
    // What was measured is told by who keeps it (app/daemon/metrics_api.h).
    if (method->output_type() == v1::Metrics::descriptor() || method->output_type() == v1::Top::descriptor()) continue;
    const auto* prototype = google::protobuf::MessageFactory::generated_factory()->GetPrototype(method->input_type());
    const std::unique_ptr<google::protobuf::Message> request(prototype->New());
    const auto answer = answer_read(method->name(), *request, view);
    EXPECT_TRUE(answer || answer.error().code != ErrorCode::unsupported) << answer.error().to_text();
  }
}

TEST(Answers, ListsAreFilteredAndPaged) {
  World world;
  world.make_image();
  for (const char* name : {"c", "a", "b"}) {
    v1::CreateVmRequest request = World::vm_request(name);
    (*request.mutable_labels())["tier"] = name[0] == 'b' ? "back" : "front";
    request.mutable_spec()->set_memory_mib(64);
    world.ended(world.accept("CreateVm", request));
  }
  v1::ListRequest request;
  request.set_page_size(2);
  auto first = world.call("ListVms", request);
  const auto& page = dynamic_cast<v1::VmList&>(**first);
  ASSERT_EQ(page.items_size(), 2);
  EXPECT_EQ(page.items(0).meta().name(), "a");
  EXPECT_EQ(page.revision(), world.core->view().revision());
  request.set_page_token(page.next_page_token());
  auto second = world.call("ListVms", request);
  const auto& rest = dynamic_cast<v1::VmList&>(**second);
  ASSERT_EQ(rest.items_size(), 1);
  EXPECT_EQ(rest.items(0).meta().name(), "c");
  EXPECT_EQ(rest.next_page_token(), "");
  v1::ListRequest filter;
  filter.set_labels("tier=front");
  EXPECT_EQ(dynamic_cast<v1::VmList&>(**world.call("ListVms", filter)).items_size(), 2);
}

TEST(Answers, TasksComeNewestFirst) {
  World world;
  world.make_image();
  world.make_vm();
  v1::ListTasksRequest request;
  request.set_page_size(1);
  auto first = world.call("ListTasks", request);
  const auto& page = dynamic_cast<v1::TaskList&>(**first);
  ASSERT_EQ(page.items_size(), 1);
  EXPECT_EQ(page.items(0).action(), "vm.create");
  request.set_page_token(page.next_page_token());
  auto second = world.call("ListTasks", request);
  EXPECT_EQ(dynamic_cast<v1::TaskList&>(**second).items(0).action(), "image.create");
  v1::ListTasksRequest open;
  open.set_open(true);
  EXPECT_EQ(dynamic_cast<v1::TaskList&>(**world.call("ListTasks", open)).items_size(), 0);
}

}  // namespace
}  // namespace gantry::control
