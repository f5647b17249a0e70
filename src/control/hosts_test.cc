// Machines that join, and what a hostile one can do: nothing to what is not its own.
#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>

#include "control/test_world.h"

namespace gantry::control {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kHuge = ~0ULL;

TEST(HostTokens, OneMachineJoinsWithOneToken) {
  World world;
  ASSERT_TRUE(world.call("KeepHostToken", World::token_request("secret")));
  ASSERT_EQ(world.core->view().host_tokens().size(), 1U);
  const auto accepted = world.accept("AdmitHost", World::admit_request("secret", "Beta.example"));
  EXPECT_EQ(accepted.task().action(), "host.join");
  EXPECT_EQ(accepted.task().actor(), "admin");
  EXPECT_EQ(accepted.task().state(), v1::Task::SUCCEEDED);
  const auto* host = world.find<v1::Host>("beta-example");
  ASSERT_NE(host, nullptr);
  EXPECT_EQ(host->meta().id(), accepted.task().target_id());
  EXPECT_EQ(host->status().state(), v1::HostStatus::LOST);
  EXPECT_TRUE(world.core->view().host_tokens().empty());
  EXPECT_EQ(world.refused("AdmitHost", World::admit_request("secret", "gamma")), "token_unknown");
  EXPECT_EQ(world.refused("AdmitHost", World::admit_request("other", "gamma")), "token_unknown");
}

TEST(HostTokens, OfTwoThatComeAtOnceOneIsRefused) {
  World world;
  ASSERT_TRUE(world.call("KeepHostToken", World::token_request("secret")));
  int joined = 0;
  std::string refusal;
  for (const char* name : {"beta", "gamma"}) {
    world.core->call("AdmitHost", World::admit_request("secret", name), {.actor = "link"}, [&](World::Answered answer) {
      if (answer) {
        ++joined;
      } else {
        refusal = answer.error().word();
      }
    });
  }
  world.executor.run_for(1'000);
  EXPECT_EQ(joined, 1);
  EXPECT_EQ(refusal, "token_unknown");
  EXPECT_EQ(world.core->view().all<v1::Host>().by_id.size(), 2U);
}

// An outcome that nobody knows is found out: the token serves neither twice nor never.
TEST(HostTokens, AnUnknownCommitIsSettled) {
  for (const auto fault : {FakeStore::Fault::unknown_written, FakeStore::Fault::unknown_lost}) {
    World world;
    ASSERT_TRUE(world.call("KeepHostToken", World::token_request("secret")));
    world.store.faults = {fault};
    const auto accepted = world.accept("AdmitHost", World::admit_request("secret", "beta"));
    ASSERT_NE(world.find<v1::Host>("beta"), nullptr);
    EXPECT_EQ(world.find<v1::Host>("beta")->meta().id(), accepted.task().target_id());
    EXPECT_EQ(world.core->view().all<v1::Host>().by_id.size(), 2U);
  }
}

TEST(HostTokens, EndAfterAnHourAndAreForgotten) {
  World world;
  ASSERT_TRUE(world.call("KeepHostToken", World::token_request("secret")));
  world.executor.run_for(3'599'000);
  EXPECT_EQ(world.core->view().host_tokens().size(), 1U);
  world.executor.run_for(2'000);
  const std::string refusal = world.refused("AdmitHost", World::admit_request("secret", "beta"));
  EXPECT_TRUE(refusal == "token_expired" || refusal == "token_unknown") << refusal;
  world.executor.run_for(61'000);
  EXPECT_TRUE(world.core->view().host_tokens().empty());
}

TEST(HostTokens, ADryRunKeepsNone) {
  World world;
  const auto planned =
      world.accept("KeepHostToken", World::token_request("secret"), {.actor = "admin", .dry_run = true});
  EXPECT_EQ(planned.plan().steps_size(), 1);
  EXPECT_TRUE(world.core->view().host_tokens().empty());
}

TEST(HostTokens, WhatAMachineSaysOfItselfIsChecked) {
  World world;
  ASSERT_TRUE(world.call("KeepHostToken", World::token_request("secret")));
  auto request = World::admit_request("secret", "beta");
  request.set_pool_path("/a/../b");
  EXPECT_EQ(world.refused("AdmitHost", request), "invalid_field");
  request = World::admit_request("secret", "be\nta");
  EXPECT_EQ(world.refused("AdmitHost", request), "invalid_field");
  request = World::admit_request("secret", "beta");
  request.add_taken_subnets("everything");
  EXPECT_EQ(world.refused("AdmitHost", request), "invalid_field");
  EXPECT_EQ(world.core->view().host_tokens().size(), 1U);
}

TEST(JoinedHost, HasAPoolAndANetworkOfItsOwn) {
  World world;
  ASSERT_TRUE(world.call("KeepHostToken", World::token_request("secret")));
  auto request = World::admit_request("secret", "beta");
  request.add_taken_subnets("10.66.0.0/16");
  world.accept("AdmitHost", request);
  const auto* host = world.find<v1::Host>("beta");
  const auto* pool = world.find<v1::Pool>("default-beta");
  ASSERT_NE(pool, nullptr);
  EXPECT_EQ(pool->spec().host_id(), host->meta().id());
  EXPECT_EQ(pool->spec().path(), "/pools/beta");
  const auto* network = world.find<v1::Network>("default-beta");
  ASSERT_NE(network, nullptr);
  EXPECT_EQ(network->status().host_id(), host->meta().id());
  EXPECT_EQ(network->spec().ipv4_subnet(), "172.29.0.0/24");
  // Another machine of the same name has names of its own.
  world.join("beta");
  EXPECT_NE(world.find<v1::Host>("beta-2"), nullptr);
  EXPECT_NE(world.find<v1::Pool>("default-beta-2"), nullptr);
}

TEST(JoinedHost, IsTheOneThatAGuestIsLaunchedOn) {
  World world;
  const std::string beta = world.join("beta");
  auto image = World::image_request("there");
  image.mutable_spec()->set_pool("default-beta");
  ASSERT_EQ(world.ended(world.accept("CreateImage", image)).state(), v1::Task::SUCCEEDED);
  auto request = World::vm_request();
  request.mutable_spec()->set_image("there");
  request.mutable_spec()->set_host("beta");
  const auto task = world.ended(world.accept("CreateVm", request));
  EXPECT_EQ(task.state(), v1::Task::SUCCEEDED) << task.problem().summary();
  EXPECT_EQ(world.vm().placement().host_id(), beta);
  const auto* network = world.core->view().find<v1::Network>(world.vm().spec().nics(0).network());
  EXPECT_EQ(network->meta().name(), "default-beta");
  EXPECT_TRUE(world.joined[beta]->runs(world.vm().meta().id()));
  EXPECT_FALSE(world.host.runs(world.vm().meta().id()));
  // Also when only its image says where it can be.
  auto unbound = World::vm_request("second");
  unbound.mutable_spec()->set_image("there");
  EXPECT_EQ(world.ended(world.accept("CreateVm", unbound)).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.vm("second").placement().host_id(), beta);
}

// What names no place stays on the manager's own machine, whatever the names.
TEST(JoinedHost, GetsNothingThatWasNotAskedOfIt) {
  World world;
  v1::CreatePoolRequest pool;
  pool.set_name("fast");
  pool.mutable_spec()->set_path("/fast");
  world.ended(world.accept("CreatePool", pool));
  world.ended(world.accept("DeletePool", World::by_id("default")));
  world.ended(world.accept("DeleteNetwork", World::by_id("default")));
  const std::string beta = world.join("beta");
  ASSERT_EQ(world.make_image().state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.find<v1::Image>("debian-12")->spec().pool(), world.find<v1::Pool>("fast")->meta().id());
  ASSERT_EQ(world.make_vm().state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.vm().placement().host_id(), kHostId);
  EXPECT_EQ(world.vm().spec().nics_size(), 0);
  v1::CreateNetworkRequest network;
  network.set_name("there");
  network.set_host("beta");
  EXPECT_EQ(world.ended(world.accept("CreateNetwork", network)).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.find<v1::Network>("there")->status().host_id(), beta);
}

TEST(JoinedHost, AnImageThatIsElsewhereIsNamedWithWhereItIs) {
  World world;
  world.make_image();
  world.join("beta");
  auto request = World::vm_request();
  request.mutable_spec()->set_host("beta");
  const auto answer = world.call("CreateVm", request);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().word(), "image_out_of_reach");
  EXPECT_THAT(answer.error().cause, HasSubstr("alpha-example"));
  EXPECT_THAT(answer.error().next_step, HasSubstr("--pool default-beta"));
}

TEST(JoinedHost, TakesNoUploads) {
  World world;
  world.join("beta");
  v1::CreateImageRequest request;
  request.set_name("mine");
  request.mutable_spec()->set_upload(true);
  request.mutable_spec()->set_pool("default-beta");
  EXPECT_EQ(world.refused("CreateImage", request), "upload_elsewhere");
}

TEST(JoinedHost, IsSentOnlyWhatIsItsOwn) {
  World world;
  world.make_image();
  world.make_vm();
  const std::string beta = world.join("beta");
  world.executor.run_for(60'000);
  ASSERT_FALSE(world.sent[beta].empty());
  for (const v1::ToHost& message : world.sent[beta]) {
    for (const v1::Assignment& assignment : message.assignments()) {
      EXPECT_TRUE(assignment.has_pool() || assignment.has_network()) << assignment.ShortDebugString();
      EXPECT_THAT(assignment.ShortDebugString(), HasSubstr(beta));
    }
  }
}

// A whole cluster and a host in it that lies.
struct HostileWorld : World {
  std::string beta;
  std::string vm_id;

  HostileWorld() {
    make_image();
    make_vm();
    beta = join("beta");
    vm_id = vm().meta().id();
  }

  v1::FromHost lie(std::uint64_t incarnation = kHuge, std::uint64_t sequence = kHuge) {
    v1::FromHost message;
    message.set_host_id(beta);  // the link has seen to that
    message.set_host_name("alpha");
    message.mutable_mark()->set_incarnation(incarnation);
    message.mutable_mark()->set_sequence(sequence);
    return message;
  }
  std::string everything_but_beta() {
    std::string all;
    for (const auto& [key, entry] : store.entries()) {
      if (key.find(beta) == std::string::npos && key != "/guard/admission") all += key + "=" + entry.value + "\n";
    }
    return all;
  }
};

TEST(HostileHost, ChangesNothingThatIsNotItsOwn) {
  HostileWorld world;
  world.executor.run_for(120'000);
  const std::string before = world.everything_but_beta();
  const View& view = world.core->view();
  std::vector<std::string> ids = {kHostId, "nothing", ""};
  for (const auto& [id, record] : view.all<v1::Vm>().by_id) ids.push_back(id);
  for (const auto& [id, record] : view.all<v1::Volume>().by_id) ids.push_back(id);
  for (const auto& [id, record] : view.all<v1::Image>().by_id) ids.push_back(id);
  for (const auto& [id, record] : view.all<v1::Task>().by_id) ids.push_back(id);
  ids.push_back(world.find<v1::Pool>("default")->meta().id());
  ids.push_back(world.find<v1::Network>("default")->meta().id());
  for (const std::string& id : ids) {
    for (int kind = 0; kind < 6; ++kind) {
      v1::FromHost lie = world.lie(kHuge - 100, static_cast<std::uint64_t>(kind));
      v1::Observation& observation = *lie.add_observations();
      observation.set_id(id);
      observation.set_absent(kind == 0);
      if (kind == 1) observation.mutable_vm()->set_state(v1::VmStatus::CRASHED);
      if (kind == 2) observation.mutable_volume()->set_state(v1::VolumeStatus::FAILED);
      if (kind == 3) observation.mutable_image()->set_state(v1::ImageStatus::FAILED);
      if (kind == 4) observation.mutable_network()->set_host_id(world.beta);
      if (kind == 5) observation.mutable_pool()->set_capacity_bytes(kHuge);
      world.link.say(lie);
      world.executor.run_for(50);
    }
  }
  EXPECT_EQ(world.everything_but_beta(), before);
}

// The mark of one host says nothing of another's news.
TEST(HostileHost, AForgedMarkDoesNotSilenceTheRightfulHost) {
  HostileWorld world;
  v1::FromHost lie = world.lie();
  lie.add_observations()->set_id(world.vm_id);
  lie.mutable_observations(0)->mutable_vm()->set_state(v1::VmStatus::RUNNING);
  world.link.say(lie);
  world.host.asleep = true;
  v1::Observation truth;
  truth.set_id(world.vm_id);
  truth.mutable_vm()->set_state(v1::VmStatus::CRASHED);
  world.host.say(truth);
  world.executor.run_for(500);
  EXPECT_EQ(world.vm().status().state(), v1::VmStatus::CRASHED);
}

TEST(HostileHost, AFloodIsNotKept) {
  HostileWorld world;
  for (int n = 0; n < 200; ++n) {
    v1::FromHost flood = world.lie(7, static_cast<std::uint64_t>(n));
    for (int i = 0; i < 1'000; ++i) {
      flood.add_observations()->set_id("vm-" + std::to_string(n * 1'000 + i));
      flood.mutable_observations(i)->mutable_vm()->set_waiting_for(std::string(100, 'x'));
    }
    world.link.say(flood);
  }
  // Rounds would take what is kept a hundred at a time.
  int steps = 0;
  const Milliseconds end_ms = world.executor.now().monotonic_ms + 100;
  while (world.executor.step(end_ms)) ++steps;
  EXPECT_LT(steps, 500);
}

TEST(HostileHost, WhatIsTooLargeOrDeceivesIsNotTakenOver) {
  HostileWorld world;
  v1::FromHost large = world.lie(7, 1);
  large.mutable_host()->set_kernel(std::string(1U << 20U, 'x'));
  const std::string pool_id = world.find<v1::Pool>("default-beta")->meta().id();
  large.add_observations()->set_id(pool_id);
  large.mutable_observations(0)->mutable_pool()->mutable_problem()->set_summary(std::string(1U << 20U, 'x'));
  world.link.say(large);
  world.executor.run_for(500);
  EXPECT_EQ(world.find<v1::Host>("beta")->status().kernel(), "");
  EXPECT_FALSE(world.find<v1::Pool>("default-beta")->status().has_problem());
  v1::FromHost terminal = world.lie(7, 2);
  terminal.mutable_host()->set_kernel("6.1\x1b[2J\x9b");
  terminal.mutable_host()->set_state(v1::HostStatus::LOST);
  world.link.say(terminal);
  world.executor.run_for(500);
  EXPECT_EQ(world.find<v1::Host>("beta")->status().kernel(), "6.1?[2J?");
  EXPECT_EQ(world.find<v1::Host>("beta")->status().state(), v1::HostStatus::CONNECTED);
}

// Whatever it says of its size, others are placed and counted as before.
TEST(HostileHost, HugeNumbersOverflowNothing) {
  HostileWorld world;
  v1::FromHost lie = world.lie();
  lie.mutable_host()->set_memory_bytes(kHuge);
  lie.mutable_host()->set_memory_available_bytes(kHuge);
  lie.mutable_host()->set_cpus(~0U);
  lie.mutable_host()->set_accelerator("kvm");
  const std::string pool_id = world.find<v1::Pool>("default-beta")->meta().id();
  lie.add_observations()->set_id(pool_id);
  v1::PoolStatus& pool = *lie.mutable_observations(0)->mutable_pool();
  pool.set_state(v1::PoolStatus::READY);
  pool.set_capacity_bytes(kHuge);
  pool.set_promised_bytes(kHuge);
  world.link.say(lie);
  world.executor.run_for(500);
  auto volume = World::volume_request();
  volume.mutable_spec()->set_pool("default-beta");
  world.accept("CreateVolume", volume);
  world.make_vm("second");
  EXPECT_EQ(world.vm("second").placement().host_id(), kHostId) << "its image is there";
}

// What cannot be shown as JSON would make every list unreadable that it is in.
TEST(HostileHost, TimesThatJsonHasNoFormForAreTakenOut) {
  HostileWorld world;
  v1::FromHost lie = world.lie();
  lie.add_observations()->set_id(world.find<v1::Pool>("default-beta")->meta().id());
  v1::Problem& problem = *lie.mutable_observations(0)->mutable_pool()->mutable_problem();
  problem.set_summary("broken");
  problem.mutable_since()->set_seconds(1LL << 60U);
  world.link.say(lie);
  world.executor.run_for(500);
  const auto* pool = world.find<v1::Pool>("default-beta");
  EXPECT_EQ(pool->status().problem().summary(), "broken");
  std::string json;
  EXPECT_TRUE(google::protobuf::util::MessageToJsonString(*pool, &json).ok());
}

// Its records sort before the others', and there are more of them than a round takes.
TEST(HostileHost, OneThatNeverEndsKeepsNobodyWaiting) {
  HostileWorld world;
  std::vector<std::string> ids;
  for (int i = 0; i < 120; ++i) {
    auto image = World::image_request("i" + std::to_string(i));
    image.mutable_spec()->set_pool("default-beta");
    ids.push_back(world.accept("CreateImage", image).task().target_id());
  }
  world.executor.run_for(60'000);
  ASSERT_LT(ids.front(), world.vm_id);
  v1::Observation truth;
  truth.set_id(world.vm_id);
  truth.mutable_vm()->set_state(v1::VmStatus::CRASHED);
  world.host.asleep = true;
  std::uint64_t sequence = 0;
  for (int n = 0; n < 300; ++n) {
    v1::FromHost lie = world.lie(7, ++sequence);
    for (const std::string& id : ids) {
      v1::Observation& observation = *lie.add_observations();
      observation.set_id(id);
      observation.mutable_image()->mutable_progress()->set_phase(std::to_string(n));
    }
    world.link.say(lie);
    if (n == 10) world.host.say(truth);
    world.executor.step(1LL << 60U);
  }
  EXPECT_EQ(world.vm().status().state(), v1::VmStatus::CRASHED);
}

TEST(HostileHost, AHostWithoutARecordIsNotHeardAndMakesNone) {
  World world;
  world.link.connect("host-000000000009", true);
  v1::FromHost message;
  message.set_host_id("host-000000000009");
  message.set_host_name("stranger");
  message.set_hello(true);
  message.mutable_mark()->set_incarnation(1);
  message.mutable_host()->set_cpus(64);
  world.link.say(message);
  world.executor.run_for(1'000);
  EXPECT_EQ(world.core->view().all<v1::Host>().by_id.size(), 1U);
  EXPECT_TRUE(world.sent["host-000000000009"].empty());
  EXPECT_EQ(world.link.standing_of("host-000000000009"), port::Standing::stranger);
  EXPECT_EQ(world.link.standing_of(kHostId), port::Standing::member);
}

v1::CreateVmRequest blank_vm_on(const std::string& host) {
  auto vm = World::vm_request();
  vm.mutable_spec()->clear_image();
  vm.mutable_spec()->add_disks()->mutable_create()->set_capacity_bytes(1ULL << 30U);
  vm.mutable_spec()->set_host(host);
  return vm;
}

TEST(Leaving, TakesTheHostsThingsDownAndCutsItOff) {
  World world;
  const std::string beta = world.join("beta");
  ASSERT_NE(world.find<v1::Network>("default-beta"), nullptr);
  const auto planned = world.accept("DeleteHost", World::leave("beta"), {.actor = "admin", .dry_run = true});
  EXPECT_EQ(planned.plan().steps_size(), 3);
  ASSERT_NE(world.find<v1::Host>("beta"), nullptr);
  const auto task = world.ended(world.accept("DeleteHost", World::leave("beta")));
  EXPECT_EQ(task.state(), v1::Task::SUCCEEDED) << task.problem().summary();
  EXPECT_EQ(world.find<v1::Host>("beta"), nullptr);
  EXPECT_EQ(world.find<v1::Pool>("default-beta"), nullptr);
  EXPECT_EQ(world.find<v1::Network>("default-beta"), nullptr);
  EXPECT_EQ(world.link.dropped.count(beta), 1U);
  EXPECT_EQ(world.link.standing_of(beta), port::Standing::stranger);
  // It goes on talking; nobody listens.
  world.joined[beta]->connect();
  world.executor.run_for(1'000);
  EXPECT_EQ(world.core->view().all<v1::Host>().by_id.size(), 1U);
}

TEST(Leaving, AMachineThatIsNotThereLeavesToo) {
  World world;
  const std::string beta = world.join("beta");
  world.joined[beta]->asleep = true;
  world.joined[beta]->disconnect();
  world.executor.run_for(20'000);
  const auto accepted = world.accept("DeleteHost", World::leave("beta"));
  EXPECT_EQ(accepted.plan().warnings_size(), 1);
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.find<v1::Network>("default-beta"), nullptr);
}

// One that is hostile, or hangs, does not stay because it says nothing.
TEST(Leaving, AMachineThatGivesNothingUpIsCutOffAfterAMinute) {
  World world;
  const std::string beta = world.join("beta");
  world.joined[beta]->asleep = true;
  const auto accepted = world.accept("DeleteHost", World::leave("beta"));
  world.executor.run_for(50'000);
  EXPECT_NE(world.find<v1::Host>("beta"), nullptr);
  world.executor.run_for(15'000);
  EXPECT_EQ(world.task(accepted.task().meta().id()).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.find<v1::Host>("beta"), nullptr);
  EXPECT_EQ(world.find<v1::Network>("default-beta"), nullptr);
  EXPECT_EQ(world.link.standing_of(beta), port::Standing::stranger);
}

// What is being deleted on a machine that will never come back ends with it.
TEST(Leaving, TakesAlongWhatIsBeingDeletedThere) {
  World world;
  const std::string beta = world.join("beta");
  ASSERT_EQ(world.ended(world.accept("CreateVm", blank_vm_on("beta"))).state(), v1::Task::SUCCEEDED);
  world.joined[beta]->asleep = true;
  world.joined[beta]->disconnect();
  world.executor.run_for(20'000);
  EXPECT_EQ(world.refused("DeleteHost", World::leave("beta")), "host_not_empty");
  v1::DeleteVmRequest request;
  request.set_id("web");
  const auto gone = world.accept("DeleteVm", request);
  ASSERT_EQ(gone.plan().warnings_size(), 1);
  EXPECT_THAT(gone.plan().warnings(0), HasSubstr("beta is not connected"));
  const auto left = world.accept("DeleteHost", World::leave("beta"));
  EXPECT_EQ(world.ended(left).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.ended(gone).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.find<v1::Vm>("web"), nullptr);
  EXPECT_TRUE(world.core->view().all<v1::Volume>().by_id.empty());
  EXPECT_EQ(world.find<v1::Host>("beta"), nullptr);
}

// Nor is what these use in the way: an image, and a volume that was attached.
TEST(Leaving, TakesAlongWhatThatWasMadeFrom) {
  World world;
  const std::string beta = world.join("beta");
  auto image = World::image_request("there");
  image.mutable_spec()->set_pool("default-beta");
  ASSERT_EQ(world.ended(world.accept("CreateImage", image)).state(), v1::Task::SUCCEEDED);
  auto volume = World::volume_request();
  volume.mutable_spec()->set_pool("default-beta");
  ASSERT_EQ(world.ended(world.accept("CreateVolume", volume)).state(), v1::Task::SUCCEEDED);
  auto request = World::vm_request();
  request.mutable_spec()->set_image("there");
  request.mutable_spec()->add_disks()->set_volume("data");
  ASSERT_EQ(world.ended(world.accept("CreateVm", request)).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.refused("DeleteImage", World::by_id("there")), "image_in_use");
  EXPECT_EQ(world.refused("DeleteVolume", World::by_id("data")), "volume_in_use");
  world.joined[beta]->asleep = true;
  world.joined[beta]->disconnect();
  world.executor.run_for(20'000);
  v1::DeleteVmRequest gone;
  gone.set_id("web");
  world.accept("DeleteVm", gone);
  world.accept("DeleteImage", World::by_id("there"));
  world.accept("DeleteVolume", World::by_id("data"));
  EXPECT_EQ(world.ended(world.accept("DeleteHost", World::leave("beta"))).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.find<v1::Host>("beta"), nullptr);
  EXPECT_EQ(world.find<v1::Image>("there"), nullptr);
  EXPECT_TRUE(world.core->view().all<v1::Volume>().by_id.empty());
}

// More than one transaction takes.
TEST(Leaving, TakesAlongAllOfMany) {
  World world;
  const std::string beta = world.join("beta");
  auto volume = World::volume_request();
  volume.mutable_spec()->set_pool("default-beta");
  for (int n = 0; n < 100; ++n) {
    volume.set_name("data-" + std::to_string(n));
    ASSERT_EQ(world.ended(world.accept("CreateVolume", volume)).state(), v1::Task::SUCCEEDED);
  }
  world.joined[beta]->asleep = true;
  world.joined[beta]->disconnect();
  world.executor.run_for(20'000);
  for (int n = 0; n < 100; ++n) world.accept("DeleteVolume", World::by_id("data-" + std::to_string(n)));
  EXPECT_EQ(world.ended(world.accept("DeleteHost", World::leave("beta"))).state(), v1::Task::SUCCEEDED);
  EXPECT_TRUE(world.core->view().all<v1::Volume>().by_id.empty());
  EXPECT_EQ(world.find<v1::Pool>("default-beta"), nullptr);
}

// That a volume is gone may be lost on the way when that its pool is gone is not.
TEST(Leaving, APoolGoesAfterWhatIsInIt) {
  World world;
  const std::string beta = world.join("beta");
  auto volume = World::volume_request();
  volume.mutable_spec()->set_pool("default-beta");
  ASSERT_EQ(world.ended(world.accept("CreateVolume", volume)).state(), v1::Task::SUCCEEDED);
  world.joined[beta]->asleep = true;
  const auto removed = world.accept("DeleteVolume", World::by_id("data"));
  const auto left = world.accept("DeleteHost", World::leave("beta"));
  const auto say_gone = [&](const std::string& id) {
    v1::Observation gone;
    gone.set_id(id);
    gone.set_absent(true);
    world.joined[beta]->say(gone);
    world.executor.run_for(1'000);
  };
  const std::string pool_id = world.find<v1::Pool>("default-beta")->meta().id();
  const std::string volume_id = world.find<v1::Volume>("data")->meta().id();
  say_gone(pool_id);
  ASSERT_NE(world.find<v1::Pool>("default-beta"), nullptr) << "the host hears of the volume by it";
  say_gone(volume_id);
  EXPECT_EQ(world.find<v1::Volume>("data"), nullptr);
  say_gone(pool_id);
  EXPECT_EQ(world.find<v1::Pool>("default-beta"), nullptr);
  EXPECT_EQ(world.ended(removed).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.ended(left).state(), v1::Task::SUCCEEDED);
}

TEST(Leaving, IsRefusedWhileAnythingIsOnTheHost) {
  World world;
  world.join("beta");
  EXPECT_EQ(world.refused("DeleteHost", World::leave(kHostId)), "own_host");
  auto volume = World::volume_request();
  volume.mutable_spec()->set_pool("default-beta");
  world.ended(world.accept("CreateVolume", volume));
  EXPECT_EQ(world.refused("DeleteHost", World::leave("beta")), "host_not_empty");
  world.ended(world.accept("DeleteVolume", World::by_id("data")));
  world.ended(world.accept("CreateVm", blank_vm_on("beta")));
  EXPECT_EQ(world.refused("DeleteHost", World::leave("beta")), "host_not_empty");
}

TEST(Leaving, NothingNewIsPlacedThereMeanwhile) {
  World world;
  const std::string beta = world.join("beta");
  world.joined[beta]->asleep = true;
  world.accept("DeleteHost", World::leave("beta"));
  world.executor.run_for(1'000);
  ASSERT_NE(world.find<v1::Host>("beta"), nullptr) << "its network is still there";
  EXPECT_EQ(world.refused("CreateVm", blank_vm_on("beta")), "deleting");
}

}  // namespace
}  // namespace gantry::control
