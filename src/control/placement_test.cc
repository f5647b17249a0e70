// Where VMs go, on which hosts they may start, and what is told of it.
#include "control/placement.h"

#include <gmock/gmock.h>

#include "control/observations.h"
#include "control/test_world.h"

namespace gantry::control {
namespace {

using testing::HasSubstr;

// A VM that can be anywhere: it has a disk of its own and no image.
v1::CreateVmRequest free_vm(const std::string& name) {
  v1::CreateVmRequest request;
  request.set_name(name);
  request.mutable_spec()->set_memory_mib(512);
  request.mutable_spec()->add_disks()->mutable_create()->set_capacity_bytes(1ULL << 30U);
  return request;
}

void set_labels(World& world, const std::string& host, const std::map<std::string, std::string>& labels) {
  v1::UpdateHostRequest request;
  request.set_id(host);
  request.mutable_labels()->insert(labels.begin(), labels.end());
  world.accept("UpdateHost", request);
}

v1::VmPlacementAnswer explain(World& world, const std::string& name) {
  const auto answer = world.call("GetVmPlacement", World::by_id(name));
  if (answer) return dynamic_cast<v1::VmPlacementAnswer&>(**answer);
  ADD_FAILURE() << answer.error().to_text();
  return {};
}

std::string reason_of(const v1::PlacementDecision& decision, const std::string& host_name) {
  for (const auto& candidate : decision.candidates()) {
    if (candidate.host_name() == host_name) return candidate.reason();
  }
  return "no such candidate";
}

TEST(Placement, AVmThatIsBoundToNothingGoesWhereThereIsMostRoom) {
  World world;
  const std::string beta = world.join("beta");
  for (FakeHost* host : {&world.host, world.joined.at(beta).get()}) {
    v1::FromHost message = host->begin();
    message.mutable_host()->set_accelerator("tcg");
    message.mutable_host()->set_cpus(8);
    message.mutable_host()->set_memory_bytes(8ULL << 30U);
    message.mutable_host()->add_cpu_models("Nehalem");
    world.link.say(message);
  }
  world.executor.run_for(1'000);
  std::map<std::string, int> count;
  for (const char* name : {"a", "b", "c", "d"}) {
    ASSERT_EQ(world.ended(world.accept("CreateVm", free_vm(name))).state(), v1::Task::SUCCEEDED);
    const v1::Vm& vm = world.vm(name);
    ++count[vm.placement().host_id()];
    // What it names not is its host's own.
    const auto* volume = world.core->view().find<v1::Volume>(vm.spec().disks(0).volume());
    EXPECT_EQ(world.core->view().find<v1::Pool>(volume->spec().pool())->spec().host_id(), vm.placement().host_id());
    EXPECT_EQ(vm.placement().cpu_model(), "") << "its disk binds it: it has all that its host has";
    ASSERT_EQ(vm.spec().nics_size(), 1);
    const auto* network = world.core->view().find<v1::Network>(vm.spec().nics(0).network());
    EXPECT_EQ(network->status().host_id(), vm.placement().host_id());
  }
  EXPECT_EQ(count[kHostId], 2);
  EXPECT_EQ(count[beta], 2);
}

TEST(Placement, AHostWithoutWhatAVmAsksByDefaultIsPassedOver) {
  World world;
  const std::string beta = world.join("beta");
  ASSERT_EQ(world.ended(world.accept("DeleteNetwork", World::by_id("default"))).state(), v1::Task::SUCCEEDED);
  v1::CreateVmRequest request = free_vm("a");
  request.mutable_spec()->add_nics();
  v1::Accepted planned = world.accept("CreateVm", request, {.actor = "a", .dry_run = true});
  EXPECT_EQ(planned.plan().placement().host_id(), beta);
  EXPECT_THAT(reason_of(planned.plan().placement(), "alpha-example"), HasSubstr("no network"));
  ASSERT_EQ(world.ended(world.accept("DeletePool", World::by_id("default-beta"))).state(), v1::Task::SUCCEEDED);
  const auto answer = world.call("CreateVm", request);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().word(), "no_host_fits");
  EXPECT_THAT(answer.error().cause, HasSubstr("beta: it has no storage pool"));
}

TEST(Placement, AnImageOnOneHostIsTheReasonWhyNotElsewhere) {
  World world;
  world.make_image();
  world.join("beta");
  world.make_vm();
  const v1::VmPlacementAnswer answer = explain(world, "web");
  EXPECT_EQ(answer.placement().host_id(), kHostId);
  EXPECT_EQ(answer.now().host_id(), kHostId);
  EXPECT_EQ(answer.now().reason(), "alpha-example is the only host that fits");
  EXPECT_EQ(
      reason_of(answer.now(), "beta"),
      "image debian-12 in pool default is not on it; volume web-disk0 in pool default is not on it; network default "
      "is not on it");
  // Its own memory is not in its own way.
  EXPECT_THAT(reason_of(answer.now(), "alpha-example"), HasSubstr("0 other guests"));
  EXPECT_EQ(world.refused("GetVmPlacement", World::by_id("nobody")), "not_found");
}

TEST(Placement, HostLabelsBindAVmAndItsNextStart) {
  World world;
  const std::string beta = world.join("beta");
  set_labels(world, "beta", {{"disk", "ssd"}});
  v1::CreateVmRequest request = free_vm("a");
  (*request.mutable_spec()->mutable_host_labels())["disk"] = "ssd";
  ASSERT_EQ(world.ended(world.accept("CreateVm", request)).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.vm("a").placement().host_id(), beta);
  v1::StopVmRequest stop;
  stop.set_id("a");
  ASSERT_EQ(world.ended(world.accept("StopVm", stop)).state(), v1::Task::SUCCEEDED);
  set_labels(world, "beta", {{"disk", "hdd"}});
  const auto answer = world.call("StartVm", World::by_id("a"));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().word(), "no_host_fits");
  EXPECT_THAT(answer.error().cause, HasSubstr("it has no label disk=ssd"));
  v1::UpdateVmRequest update;
  update.set_id("a");
  update.mutable_update_mask()->add_paths("host_labels");
  EXPECT_EQ(world.accept("UpdateVm", update).task().state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.ended(world.accept("StartVm", World::by_id("a"))).state(), v1::Task::SUCCEEDED);
}

TEST(Placement, TheProcessorsAskedForMustBeThere) {
  World world;
  world.make_image();
  v1::CreateVmRequest request = World::vm_request();
  request.mutable_spec()->set_cpu_model("Nehalem");
  EXPECT_EQ(world.refused("CreateVm", request), "no_host_fits");
  v1::FromHost message = world.host.begin();
  message.mutable_host()->set_accelerator("tcg");
  message.mutable_host()->set_cpus(8);
  message.mutable_host()->set_memory_bytes(8ULL << 30U);
  message.mutable_host()->add_cpu_models("Nehalem");
  world.link.say(message);
  world.executor.run_for(1'000);
  ASSERT_EQ(world.ended(world.accept("CreateVm", request)).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.vm().placement().cpu_model(), "Nehalem");
  v1::UpdateVmRequest update;
  update.set_id("web");
  update.set_cpu_model("Haswell");
  const v1::Accepted accepted = world.accept("UpdateVm", update);
  ASSERT_EQ(accepted.plan().warnings_size(), 1);
  EXPECT_THAT(accepted.plan().warnings(0), HasSubstr("its processors cannot be Haswell"));
  EXPECT_EQ(world.vm().placement().cpu_model(), "Nehalem") << "until it starts anew";
  const auto restart = world.call("RestartVm", World::stop_request());
  ASSERT_FALSE(restart) << "its guest would be stopped for nothing";
  EXPECT_EQ(restart.error().word(), "no_host_fits");
  EXPECT_THAT(restart.error().cause, HasSubstr("its processors cannot be Haswell"));
  update.set_cpu_model("no, such");
  EXPECT_EQ(world.refused("UpdateVm", update), "invalid_field");
}

TEST(Placement, ProcessorsArePromisedAsOftenAsTheManagerIsTold) {
  World world;
  world.make_image();
  world.options.cpu_overcommit = 1;
  world.restart();
  world.executor.run_for(1'000);
  v1::CreateVmRequest request = World::vm_request();
  request.mutable_spec()->set_cpus(6);
  ASSERT_EQ(world.ended(world.accept("CreateVm", request)).state(), v1::Task::SUCCEEDED);
  request.set_name("other");
  request.mutable_spec()->set_cpus(3);
  EXPECT_EQ(world.refused("CreateVm", request), "no_host_fits");
  v1::UpdateVmRequest update;
  update.set_id("web");
  update.set_cpus(9);
  EXPECT_EQ(world.refused("UpdateVm", update), "no_host_fits");
  update.set_cpus(8);
  EXPECT_EQ(world.refused("UpdateVm", update), "");
  // Its guest keeps those it has.
  update.set_cpus(1);
  EXPECT_EQ(world.refused("UpdateVm", update), "vm_running");
  ASSERT_EQ(world.ended(world.accept("StopVm", World::stop_request())).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.refused("UpdateVm", update), "");
}

// A pool that all hosts share is enough to make several hosts possible.
TEST(Placement, WhereSeveralHostsMayRunItTheProcessorsAreWhatAllHave) {
  View view;
  port::Range range{.entries = {}, .revision = 1};
  const auto add = [&](const auto& record, std::string_view word) {
    range.entries.push_back({.key = model::record_key(word, record.meta().id()),
                             .value = record.SerializeAsString(),
                             .created = 1,
                             .modified = 1});
  };
  for (const char* id : {"host-1", "host-2", "host-3", "host-4"}) {
    v1::Host host;
    host.mutable_meta()->set_id(id);
    host.mutable_status()->set_accelerator("kvm");
    if (host.meta().id() != "host-4") host.mutable_status()->add_cpu_models("Westmere");
    if (host.meta().id() == "host-2" || host.meta().id() == "host-3") host.mutable_status()->add_cpu_models("Haswell");
    add(host, model::kHost);
  }
  v1::Pool pool;
  pool.mutable_meta()->set_id("pool-1");
  pool.mutable_spec()->set_shared(true);
  add(pool, model::kPool);
  View::Touched touched;
  view.load(range, touched);
  policy::PlaceDemand demand;
  add_reach(view, "", pool, demand);
  EXPECT_EQ(choose_cpu_model(view, demand, "host-2"), "Westmere")
      << "one that could not tell its models is passed over";
  pool.mutable_spec()->add_hosts("host-2");
  pool.mutable_spec()->add_hosts("host-3");
  demand.reach.clear();
  add_reach(view, "", pool, demand);
  EXPECT_EQ(choose_cpu_model(view, demand, "host-2"), "Haswell");
  EXPECT_EQ(choose_cpu_model(view, demand, "host-1"), "Westmere") << "it is there, whatever it asks for now";
  EXPECT_EQ(choose_cpu_model(view, demand, "host-4"), "") << "nobody knows what its own host can be";
  demand.host_id = "host-2";
  EXPECT_EQ(choose_cpu_model(view, demand, "host-2"), "") << "on one host everything it has";
  demand.cpu_model = "Nehalem";
  EXPECT_EQ(choose_cpu_model(view, demand, "host-2"), "Nehalem");
}

TEST(Maintenance, IsThereWhenNothingRunsAndKeepsAllFromStarting) {
  World world;
  world.make_image();
  world.make_vm();
  v1::UpdateHostRequest request;
  request.set_id("alpha-example");
  request.set_maintenance(true);
  const v1::Accepted accepted = world.accept("UpdateHost", request);
  world.executor.run_for(5'000);
  const v1::Task waiting = world.task(accepted.task().meta().id());
  EXPECT_EQ(waiting.state(), v1::Task::RUNNING);
  EXPECT_THAT(waiting.progress().phase(), HasSubstr("1 of 1 guests left; web: "));
  EXPECT_EQ(world.refused("CreateVm", World::vm_request("early")), "no_host_fits");
  ASSERT_EQ(world.ended(world.accept("StopVm", World::stop_request())).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.accept("UpdateHost", request).task().state(), v1::Task::SUCCEEDED) << "nothing is left to do";
  EXPECT_TRUE(world.find<v1::Host>("alpha-example")->spec().maintenance());
  EXPECT_EQ(world.refused("StartVm", World::by_id("web")), "no_host_fits");
  EXPECT_EQ(world.refused("CreateVm", World::vm_request("other")), "no_host_fits");
  request.set_maintenance(false);
  request.mutable_update_mask()->add_paths("maintenance");
  world.accept("UpdateHost", request);
  EXPECT_EQ(world.refused("StartVm", World::by_id("web")), "");
}

TEST(Maintenance, IsNotHeldUpByAGuestThatEndedByItself) {
  World world;
  world.make_image();
  world.make_vm();
  world.host.guest_ends(world.vm().meta().id());
  world.host.connect();
  world.executor.run_for(30'000);
  ASSERT_EQ(world.vm().spec().power(), v1::VmSpec::RUNNING);
  v1::UpdateHostRequest request;
  request.set_id("alpha-example");
  request.set_maintenance(true);
  EXPECT_EQ(world.refused("UpdateHost", request), "");
  EXPECT_EQ(world.refused("StartVm", World::by_id("web")), "no_host_fits");
  EXPECT_EQ(world.refused("RestartVm", World::stop_request()), "no_host_fits");
}

TEST(Maintenance, IsNotEndedByOtherChangesOfTheHost) {
  World world;
  v1::UpdateHostRequest request;
  request.set_id("alpha-example");
  request.set_maintenance(true);
  request.set_cordoned(true);
  world.accept("UpdateHost", request);
  set_labels(world, "alpha-example", {{"rack", "r1"}});
  const v1::Host& host = *world.find<v1::Host>("alpha-example");
  EXPECT_TRUE(host.spec().maintenance());
  EXPECT_TRUE(host.spec().cordoned());
  EXPECT_EQ(host.meta().labels().at("rack"), "r1");
}

// Whatever a host says of itself, its record stays small and true to its form.
TEST(HostFacts, AreBounded) {
  v1::Host host;
  v1::HostStatus said;
  for (int i = 0; i < 2'000; ++i) {
    said.add_cpu_models("model-" + std::to_string(i));
    said.add_cpu_models("model,enforce=off " + std::to_string(i));
    said.add_numa_nodes()->set_cpus(1);
    said.add_problems()->set_summary(std::string(10'000, '\x1b'));
    said.add_recipes("r");
  }
  said.set_address("198.18.0.1\n-j ACCEPT");
  v1::ObservationMark mark;
  mark.set_incarnation(1);
  observe_host(host, said, mark, Now{});
  EXPECT_EQ(host.status().cpu_models_size(), 512);
  for (const auto& model : host.status().cpu_models()) EXPECT_EQ(model.find(','), std::string::npos);
  EXPECT_EQ(host.status().numa_nodes_size(), 256);
  EXPECT_EQ(host.status().problems_size(), 32);
  EXPECT_LE(host.status().problems(0).summary().size(), 1024U);
  EXPECT_EQ(host.status().problems(0).summary().find('\x1b'), std::string::npos);
  EXPECT_EQ(host.status().recipes_size(), 32);
  EXPECT_EQ(host.status().address(), "");
  said.set_address("2001:db8::7");
  mark.set_incarnation(2);
  observe_host(host, said, mark, Now{});
  EXPECT_EQ(host.status().address(), "2001:db8::7");
}

}  // namespace
}  // namespace gantry::control
