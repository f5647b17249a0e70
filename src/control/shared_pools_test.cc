// Pools that several hosts have: who makes them, who keeps what lies in them, and what each host is heard of.
#include <gmock/gmock.h>

#include "control/test_world.h"

namespace gantry::control {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

struct SharedWorld : World {
  std::string beta = join("beta");

  static v1::CreatePoolRequest pool_request(const std::vector<std::string>& hosts = {}) {
    v1::CreatePoolRequest request;
    request.set_name("shared");
    request.mutable_spec()->set_shared(true);
    request.mutable_spec()->set_path("/mnt/shared");
    request.mutable_spec()->mutable_hosts()->Assign(hosts.begin(), hosts.end());
    return request;
  }
  v1::Task make_pool(const std::vector<std::string>& hosts = {}) {
    const auto task = ended(accept("CreatePool", pool_request(hosts)));
    executor.run_for(60'000);
    return task;
  }
  static v1::CreateImageRequest image_there(const std::string& name = "img") {
    v1::CreateImageRequest request = image_request(name);
    request.mutable_spec()->set_pool("shared");
    return request;
  }
  static v1::CreateVmRequest vm_on(const std::string& host, const std::string& name = "web") {
    v1::CreateVmRequest request = vm_request(name);
    request.mutable_spec()->set_image("img");
    request.mutable_spec()->set_host(host);
    return request;
  }
  static v1::CreateVolumeRequest volume_there() {
    v1::CreateVolumeRequest request = volume_request();
    request.mutable_spec()->set_pool("shared");
    return request;
  }
  FakeHost& fake(const std::string& id) { return id == kHostId ? host : *joined.at(id); }
  [[nodiscard]] std::string other(const std::string& id) const { return id == kHostId ? beta : kHostId; }
  [[nodiscard]] const v1::Pool& pool() const { return *find<v1::Pool>("shared"); }
  [[nodiscard]] const v1::Image& image(const std::string& name = "img") const { return *find<v1::Image>(name); }
  [[nodiscard]] const v1::Volume& volume(const std::string& name = "data") const { return *find<v1::Volume>(name); }
  [[nodiscard]] v1::PoolStatus::State state_on(const std::string& id) const {
    for (const auto& there : pool().status().hosts()) {
      if (there.host_id() == id) return there.state();
    }
    return v1::PoolStatus::UNKNOWN;
  }
  // Whether the host was ever sent the record to carry out, and whether it was to look at.
  [[nodiscard]] std::set<bool> sent_as_look_only(const std::string& host_id, const std::string& id) const {
    std::set<bool> ways;
    const auto messages = sent.find(host_id);
    if (messages == sent.end()) return ways;
    for (const v1::ToHost& message : messages->second) {
      for (const v1::Assignment& assignment : message.assignments()) {
        const bool is_it = assignment.image().meta().id() == id || assignment.volume().meta().id() == id ||
                           assignment.pool().meta().id() == id;
        if (is_it) ways.insert(assignment.look_only());
      }
    }
    return ways;
  }
  // What both hosts keep is theirs by chance of the least kept: the one that keeps it, then the other.
  std::pair<std::string, std::string> keepers_of(const v1::Image& image) const {
    return {image.keeper().host_id(), other(image.keeper().host_id())};
  }
};

TEST(SharedPool, OneHostMakesItThenAllHaveIt) {
  SharedWorld world;
  world.host.asleep = true;
  const auto accepted = world.accept("CreatePool", SharedWorld::pool_request());
  world.executor.run_for(60'000);
  const std::string id = world.pool().meta().id();
  EXPECT_TRUE(world.sent_as_look_only(world.beta, id).empty()) << "two that begin may begin in two directories";
  EXPECT_EQ(world.pool().status().state(), v1::PoolStatus::UNKNOWN);
  world.host.asleep = false;
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED);
  world.executor.run_for(60'000);
  EXPECT_EQ(world.state_on(kHostId), v1::PoolStatus::READY);
  EXPECT_EQ(world.state_on(world.beta), v1::PoolStatus::READY);
  // A host that joins later has it too.
  const std::string gamma = world.join("gamma");
  world.executor.run_for(60'000);
  EXPECT_EQ(world.state_on(gamma), v1::PoolStatus::READY);
}

TEST(SharedPool, IsOnTheHostsThatAreNamed) {
  SharedWorld world;
  const std::string gamma = world.join("gamma");
  EXPECT_EQ(world.make_pool({"gamma", "beta", gamma}).state(), v1::Task::SUCCEEDED);
  EXPECT_THAT(world.pool().spec().hosts(), ElementsAre(gamma, world.beta));
  EXPECT_TRUE(world.sent_as_look_only(kHostId, world.pool().meta().id()).empty());
  EXPECT_EQ(world.ended(world.accept("CreateImage", SharedWorld::image_there())).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.refused("CreateVm", SharedWorld::vm_on(kHostId)), "image_out_of_reach");
}

TEST(SharedPool, IsReadyWhereItIsAndNamesWhereItFails) {
  SharedWorld world;
  world.joined[world.beta]->problems["shared"].set_summary("not mounted");
  EXPECT_EQ(world.make_pool().state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.pool().status().state(), v1::PoolStatus::READY);
  EXPECT_EQ(world.state_on(world.beta), v1::PoolStatus::FAILED);
  ASSERT_EQ(world.ended(world.accept("CreateImage", SharedWorld::image_there())).state(), v1::Task::SUCCEEDED);
  const auto answer = world.call("CreateVm", SharedWorld::vm_on("beta"));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().word(), "no_host_fits");
  EXPECT_THAT(answer.error().cause, HasSubstr("it cannot use pool shared"));
  world.joined[world.beta]->problems.clear();
  world.executor.run_for(60'000);
  EXPECT_EQ(world.ended(world.accept("CreateVm", SharedWorld::vm_on("beta"))).state(), v1::Task::SUCCEEDED);
}

TEST(SharedPool, HostsThatTellALittleLessOrMoreDoNotTakeTurns) {
  SharedWorld world;
  world.make_pool();
  // They say nothing by themselves.
  for (const std::string& id : {std::string(kHostId), world.beta}) world.fake(id).asleep = true;
  const auto tell = [&world](const std::string& id, std::uint64_t used_gib) {
    constexpr std::uint64_t kAllGib = 100;
    v1::Observation observation;
    observation.set_id(world.pool().meta().id());
    v1::PoolStatus& status = *observation.mutable_pool();
    status.set_state(v1::PoolStatus::READY);
    status.set_capacity_bytes(kAllGib << 30U);
    status.set_available_bytes((kAllGib - used_gib) << 30U);
    status.set_allocation_bytes(used_gib << 30U);
    world.fake(id).say(observation);
    world.executor.run_for(1'000);
    return world.pool().meta().revision();
  };
  tell(kHostId, 50);
  EXPECT_EQ(world.pool().status().allocation_bytes(), 50ULL << 30U);
  const std::uint64_t revision = tell(world.beta, 52);
  EXPECT_EQ(tell(kHostId, 50), revision);
  EXPECT_EQ(tell(world.beta, 52), revision);
  EXPECT_GT(tell(world.beta, 53), revision);
  EXPECT_EQ(world.pool().status().available_bytes(), 47ULL << 30U);
}

TEST(SharedPool, FailsWhenItsMakerCannotMakeIt) {
  SharedWorld world;
  world.host.problems["shared"].set_summary("no such directory");
  const auto task = world.make_pool();
  EXPECT_EQ(task.state(), v1::Task::FAILED);
  EXPECT_EQ(task.problem().summary(), "no such directory");
  EXPECT_TRUE(world.sent_as_look_only(world.beta, world.pool().meta().id()).empty());
}

// Each change of it goes to all: what one host says is not sent to the others.
TEST(SharedPool, HostsAreNotToldOfEachOther) {
  SharedWorld world;
  world.make_pool();
  int told = 0;
  for (const std::string& id : {std::string(kHostId), world.beta}) {
    for (const v1::ToHost& message : world.sent[id]) {
      for (const v1::Assignment& assignment : message.assignments()) {
        if (assignment.pool().meta().name() != "shared") continue;
        ++told;
        EXPECT_EQ(assignment.pool().status().hosts_size(), 0);
      }
    }
  }
  EXPECT_GT(told, 1);
}

TEST(SharedPool, OneThatWasReadyIsNotMadeAnew) {
  SharedWorld world;
  world.make_pool();
  v1::Observation news;
  news.set_id(world.pool().meta().id());
  for (const std::string& id : {std::string(kHostId), world.beta}) {
    world.fake(id).asleep = true;
    news.mutable_pool()->set_state(v1::PoolStatus::READY);
    world.fake(id).say(news);
    world.executor.run_for(1'000);
    news.mutable_pool()->set_state(v1::PoolStatus::FAILED);
    world.fake(id).say(news);
    world.executor.run_for(1'000);
  }
  EXPECT_EQ(world.pool().status().state(), v1::PoolStatus::FAILED);
  EXPECT_NE(world.pool().status().capacity_bytes(), 0U) << "the next to hear of it would take any directory for it";
}

TEST(SharedPool, OneThatIsNeverMadeGoesWithoutItsMaker) {
  SharedWorld world;
  world.joined[world.beta]->asleep = true;
  world.accept("CreatePool", SharedWorld::pool_request({"beta", "alpha-example"}));
  world.executor.run_for(1'000);
  world.joined[world.beta]->disconnect();
  world.executor.run_for(60'000);
  EXPECT_EQ(world.ended(world.accept("DeletePool", World::by_id("shared"))).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.find<v1::Pool>("shared"), nullptr);
}

TEST(SharedPool, WhatIsAskedForIsChecked) {
  SharedWorld world;
  auto request = SharedWorld::pool_request();
  request.mutable_spec()->set_host_id("beta");
  EXPECT_EQ(world.refused("CreatePool", request), "invalid_field");
  request = SharedWorld::pool_request({"beta"});
  request.mutable_spec()->set_shared(false);
  EXPECT_EQ(world.refused("CreatePool", request), "invalid_field");
  EXPECT_EQ(world.refused("CreatePool", SharedWorld::pool_request({"nobody"})), "not_found");
  request = SharedWorld::pool_request();
  request.mutable_spec()->set_path("/pools/beta");
  EXPECT_EQ(world.refused("CreatePool", request), "path_in_use");
  world.make_pool();
  v1::CreatePoolRequest own;
  own.set_name("own");
  own.mutable_spec()->set_path("/mnt/shared");
  EXPECT_EQ(world.refused("CreatePool", own), "path_in_use");
  const auto planned = world.accept("DeletePool", World::by_id("shared"), {.actor = "admin", .dry_run = true});
  EXPECT_THAT(planned.plan().steps(0), HasSubstr("forget pool shared"));
  EXPECT_EQ(world.ended(world.accept("DeletePool", World::by_id("shared"))).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.find<v1::Pool>("shared"), nullptr);
}

TEST(SharedPool, AnUploadNeedsItOnTheManagersOwnMachine) {
  SharedWorld world;
  world.make_pool({"beta"});
  auto request = SharedWorld::image_there();
  request.mutable_spec()->clear_recipe();
  request.mutable_spec()->set_upload(true);
  EXPECT_EQ(world.refused("CreateImage", request), "upload_elsewhere");
  world.ended(world.accept("DeletePool", World::by_id("shared")));
  world.make_pool();
  world.host.asleep = true;
  world.accept("CreateImage", request);
  EXPECT_EQ(world.image().keeper().host_id(), kHostId);
}

TEST(SharedPool, AGuestRunsOnEitherHostFromOneImage) {
  SharedWorld world;
  world.make_pool();
  ASSERT_EQ(world.ended(world.accept("CreateImage", SharedWorld::image_there())).state(), v1::Task::SUCCEEDED);
  for (const std::string& id : {std::string(kHostId), world.beta}) {
    const std::string name = "on-" + id;
    ASSERT_EQ(world.ended(world.accept("CreateVm", SharedWorld::vm_on(id, name))).state(), v1::Task::SUCCEEDED);
    EXPECT_TRUE(world.fake(id).runs(world.vm(name).meta().id()));
    const auto& disk = world.volume(name + "-disk0");
    EXPECT_EQ(disk.spec().pool(), world.pool().meta().id()) << "beside its image";
    EXPECT_EQ(world.vm(name).spec().lease_pool(), world.pool().meta().id());
    EXPECT_EQ(disk.keeper().host_id(), id);
    EXPECT_FALSE(world.sent_as_look_only(id, world.image().meta().id()).empty());
  }
  const auto [keeper, other] = world.keepers_of(world.image());
  EXPECT_THAT(world.sent_as_look_only(keeper, world.image().meta().id()), ElementsAre(false));
  EXPECT_THAT(world.sent_as_look_only(other, world.image().meta().id()), ElementsAre(true));
}

// ---- keepers

TEST(Keeper, AnotherHostDoesWhatOneThatIsLostLeft) {
  // Lost before it was told; while it imports; and after it said that it is done.
  for (const char* phase : {"told nothing", "importing"}) {
    SharedWorld world;
    world.make_pool();
    world.host.asleep = true;
    world.joined[world.beta]->asleep = true;
    const auto accepted = world.accept("CreateImage", SharedWorld::image_there());
    const std::string id = world.image().meta().id();
    const auto [keeper, other] = world.keepers_of(world.image());
    if (std::string(phase) == "importing") {
      v1::Observation news;
      news.set_id(id);
      news.mutable_image()->set_state(v1::ImageStatus::IMPORTING);
      news.mutable_image()->set_observed_generation(1);
      world.fake(keeper).say(news);
    }
    world.fake(other).asleep = false;
    world.executor.run_for(1'000);
    world.fake(keeper).disconnect();
    world.executor.run_for(9'000);
    EXPECT_EQ(world.image().keeper().host_id(), keeper) << phase << ": it may be back at once";
    EXPECT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED) << phase;
    EXPECT_EQ(world.image().keeper().host_id(), other);
    EXPECT_EQ(world.image().keeper().epoch(), 2U);
    EXPECT_TRUE(world.fake(other).has(id));
    // The first comes back: it may look if it must, and whatever it says is not heard.
    world.fake(keeper).connect();
    v1::Observation late;
    late.set_id(id);
    late.mutable_image()->set_state(v1::ImageStatus::FAILED);
    world.fake(keeper).say(late);
    world.executor.run_for(60'000);
    EXPECT_EQ(world.image().status().state(), v1::ImageStatus::READY);
    EXPECT_EQ(world.image().keeper().host_id(), other);
  }
}

// No report of that host says anything new.
TEST(Keeper, IsTheFirstHostThatComesWhereThereWasNone) {
  SharedWorld world;
  world.make_pool();
  for (const std::string& id : {kHostId, world.beta}) world.fake(id).disconnect();
  world.executor.run_for(1'000);
  const auto accepted = world.accept("CreateImage", SharedWorld::image_there());
  world.executor.run_for(60'000);
  EXPECT_EQ(world.image().keeper().host_id(), "");
  world.fake(world.beta).connect();
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.image().keeper().host_id(), world.beta);
}

TEST(Keeper, StaysWhereNothingIsToBeDone) {
  SharedWorld world;
  world.make_pool();
  world.ended(world.accept("CreateImage", SharedWorld::image_there()));
  const auto [keeper, other] = world.keepers_of(world.image());
  world.fake(keeper).disconnect();
  world.executor.run_for(60'000);
  EXPECT_EQ(world.image().keeper().host_id(), keeper);
  // To delete it is something to do.
  EXPECT_EQ(world.ended(world.accept("DeleteImage", World::by_id("img"))).state(), v1::Task::SUCCEEDED);
}

TEST(Keeper, OneThatCannotUseThePoolIsReplaced) {
  SharedWorld world;
  world.make_pool();
  world.host.asleep = true;
  world.joined[world.beta]->asleep = true;
  const auto accepted = world.accept("CreateImage", SharedWorld::image_there());
  const auto [keeper, other] = world.keepers_of(world.image());
  world.fake(other).asleep = false;
  v1::Observation failed;
  failed.set_id(world.pool().meta().id());
  failed.mutable_pool()->set_state(v1::PoolStatus::FAILED);
  world.fake(keeper).say(failed);
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.image().keeper().host_id(), other);
}

// Its last word was about itself.
TEST(Keeper, WhatFailedIsTriedElsewhereWhenItIsLost) {
  SharedWorld world;
  world.make_pool();
  world.host.problems["img"].set_summary("no way to the mirror");
  world.joined[world.beta]->problems["img"].set_summary("no way to the mirror");
  ASSERT_EQ(world.ended(world.accept("CreateImage", SharedWorld::image_there())).state(), v1::Task::FAILED);
  const auto [keeper, other] = world.keepers_of(world.image());
  world.fake(other).problems.clear();
  world.executor.run_for(60'000);
  EXPECT_EQ(world.image().keeper().host_id(), keeper) << "nobody asked for another try";
  world.fake(keeper).disconnect();
  world.executor.run_for(60'000);
  EXPECT_EQ(world.image().keeper().host_id(), other);
  EXPECT_EQ(world.image().status().state(), v1::ImageStatus::READY);
}

TEST(Keeper, OfAVolumeFollowsItsVm) {
  SharedWorld world;
  world.make_pool();
  world.ended(world.accept("CreateImage", SharedWorld::image_there()));
  world.ended(world.accept("CreateVolume", SharedWorld::volume_there()));
  const std::string elsewhere = world.other(world.volume().keeper().host_id());
  auto request = SharedWorld::vm_on(elsewhere);
  request.mutable_spec()->add_disks()->set_volume("data");
  ASSERT_EQ(world.ended(world.accept("CreateVm", request)).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.volume().keeper().host_id(), elsewhere);
  EXPECT_EQ(world.volume().keeper().epoch(), 2U);
  // A guest that may still run keeps others away from its disks, however long its host is lost.
  world.fake(elsewhere).disconnect();
  world.executor.run_for(120'000);
  EXPECT_EQ(world.volume().keeper().host_id(), elsewhere);
  EXPECT_EQ(world.volume("web-disk0").keeper().host_id(), elsewhere);
}

TEST(Keeper, OfAVolumeThatGrowsStays) {
  SharedWorld world;
  world.make_pool();
  world.ended(world.accept("CreateVolume", SharedWorld::volume_there()));
  const std::string keeper = world.volume().keeper().host_id();
  v1::Observation news;
  news.set_id(world.volume().meta().id());
  v1::VolumeStatus& status = *news.mutable_volume();
  status.set_state(v1::VolumeStatus::READY);
  status.set_path("/mnt/shared/volumes/data.qcow2");
  status.set_capacity_bytes(1ULL << 30U);
  status.set_observed_generation(1);
  world.fake(keeper).say(news);
  world.executor.run_for(1'000);
  world.fake(keeper).asleep = true;
  v1::ResizeVolumeRequest resize;
  resize.set_id("data");
  resize.set_capacity_bytes(2ULL << 30U);
  const auto accepted = world.accept("ResizeVolume", resize);
  world.fake(keeper).disconnect();
  world.executor.run_for(120'000);
  EXPECT_EQ(world.volume().keeper().host_id(), keeper) << "it may be at work on the file";
  world.fake(keeper).asleep = false;
  world.fake(keeper).connect();
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED);
  // A volume that is to go is not spared.
  resize.set_capacity_bytes(3ULL << 30U);
  world.fake(keeper).asleep = true;
  world.accept("ResizeVolume", resize);
  world.fake(keeper).disconnect();
  EXPECT_EQ(world.ended(world.accept("DeleteVolume", World::by_id("data"))).state(), v1::Task::SUCCEEDED);
}

// Nobody is at work on it: another grows it.
TEST(Keeper, OfAVolumeThatIsToGrowIsReplacedFirst) {
  SharedWorld world;
  world.make_pool();
  world.ended(world.accept("CreateVolume", SharedWorld::volume_there()));
  const std::string keeper = world.volume().keeper().host_id();
  world.fake(keeper).disconnect();
  world.executor.run_for(60'000);
  EXPECT_EQ(world.volume().keeper().host_id(), keeper);
  v1::ResizeVolumeRequest resize;
  resize.set_id("data");
  resize.set_capacity_bytes(2ULL << 30U);
  EXPECT_EQ(world.ended(world.accept("ResizeVolume", resize)).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.volume().keeper().host_id(), world.other(keeper));
}

// Its keeper does not know of what others keep.
TEST(Keeper, OfAnImageIsToldToDeleteItOnceNothingUsesIt) {
  SharedWorld world;
  world.make_pool();
  world.ended(world.accept("CreateImage", SharedWorld::image_there()));
  auto request = SharedWorld::volume_there();
  request.mutable_spec()->set_image("img");
  request.mutable_spec()->set_capacity_bytes(4ULL << 30U);
  world.ended(world.accept("CreateVolume", request));
  v1::Image image = world.image();
  image.mutable_meta()->mutable_deletion()->set_task_id("task-0123456789ab");
  const std::string key = model::record_key(model::kImage, image.meta().id());
  port::Txn txn;
  txn.writes.push_back({.kind = port::Write::Kind::put, .key = key, .value = record_bytes(image)});
  world.store.write(txn);
  world.executor.run_for(120'000);
  EXPECT_NE(world.find<v1::Image>("img"), nullptr);
  world.accept("DeleteVolume", World::by_id("data"));
  world.executor.run_for(120'000);
  EXPECT_EQ(world.find<v1::Image>("img"), nullptr);
}

// A machine that will not come back: what went with its guests is taken away by another.
TEST(Keeper, DisksOfAVmThatIsGivenUpAreDeletedElsewhere) {
  SharedWorld world;
  world.make_pool();
  world.ended(world.accept("CreateImage", SharedWorld::image_there()));
  ASSERT_EQ(world.ended(world.accept("CreateVm", SharedWorld::vm_on("beta"))).state(), v1::Task::SUCCEEDED);
  world.joined[world.beta]->disconnect();
  world.executor.run_for(60'000);
  v1::DeleteVmRequest gone;
  gone.set_id("web");
  world.accept("DeleteVm", gone);
  world.executor.run_for(60'000);
  ASSERT_NE(world.find<v1::Volume>("web-disk0"), nullptr) << "its guest may still run";
  EXPECT_EQ(world.volume("web-disk0").keeper().host_id(), world.beta);
  const auto refused = world.call("DeleteHost", World::leave("beta"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().word(), "host_not_empty");
  EXPECT_THAT(refused.error().cause, AllOf(HasSubstr("\"web\""), HasSubstr("web-disk0")));
  EXPECT_THAT(refused.error().next_step, HasSubstr("gantry host leave beta --machine-is-off"));
  v1::DeleteHostRequest leave = World::leave("beta");
  leave.set_machine_is_off(true);
  world.host.asleep = true;
  const auto left = world.accept("DeleteHost", leave);
  EXPECT_THAT(left.plan().warnings(), Contains(AllOf(HasSubstr("VM web "), HasSubstr("web-disk0"))));
  ASSERT_EQ(world.ended(left).state(), v1::Task::SUCCEEDED);
  ASSERT_EQ(world.vm().placement().left_hosts_size(), 1) << "its lease is there, and what its TPM kept";
  EXPECT_EQ(world.vm().placement().left_hosts(0).host_id(), kHostId);
  EXPECT_EQ(world.vm().placement().left_hosts(0).lease_pool(), world.pool().meta().id());
  world.host.asleep = false;
  world.executor.run_for(60'000);
  EXPECT_EQ(world.find<v1::Vm>("web"), nullptr);
  EXPECT_EQ(world.find<v1::Volume>("web-disk0"), nullptr);
  ASSERT_NE(world.find<v1::Image>("img"), nullptr);
}

TEST(Keeper, AHostThatLeavesKeepsNothing) {
  SharedWorld world;
  world.make_pool();
  for (const char* name : {"one", "two", "three"}) {
    world.ended(world.accept("CreateImage", SharedWorld::image_there(name)));
  }
  ASSERT_EQ(world.ended(world.accept("DeleteHost", World::leave("beta"))).state(), v1::Task::SUCCEEDED);
  world.executor.run_for(60'000);
  EXPECT_EQ(world.find<v1::Host>("beta"), nullptr);
  ASSERT_NE(world.find<v1::Pool>("shared"), nullptr);
  EXPECT_EQ(world.pool().status().state(), v1::PoolStatus::READY);
  EXPECT_EQ(world.pool().status().hosts_size(), 1);
  for (const char* name : {"one", "two", "three"}) EXPECT_EQ(world.image(name).keeper().host_id(), kHostId) << name;
}

TEST(Keeper, AHostThatAloneHasThePoolStays) {
  SharedWorld world;
  world.make_pool({"beta"});
  EXPECT_EQ(world.refused("DeleteHost", World::leave("beta")), "host_not_empty");
}

TEST(Keeper, AManagerThatStartsAnewFinds) {
  SharedWorld world;
  world.make_pool();
  world.host.asleep = true;
  world.joined[world.beta]->asleep = true;
  const auto accepted = world.accept("CreateImage", SharedWorld::image_there());
  const auto [keeper, other] = world.keepers_of(world.image());
  world.restart();
  // Who is not known yet is not let in.
  world.executor.run_for(1'000);
  world.fake(other).asleep = false;
  world.fake(other).connect();
  if (other != kHostId) world.host.disconnect();
  world.executor.run_for(120'000);
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.image().keeper().host_id(), other);
}

// ---- hosts that lie

TEST(HostileSharer, IsHeardOfNothingButItsOwnSideOfThePool) {
  SharedWorld world;
  const std::string gamma = world.join("gamma");
  world.make_pool({"alpha-example", "beta"});
  world.ended(world.accept("CreateImage", SharedWorld::image_there()));
  ASSERT_EQ(world.ended(world.accept("CreateVm", SharedWorld::vm_on(kHostId))).state(), v1::Task::SUCCEEDED);
  world.executor.run_for(60'000);
  const std::string image = record_bytes(world.image());
  const std::string disk = record_bytes(world.volume("web-disk0"));
  const v1::Pool pool = world.pool();
  for (const std::string& liar : {world.beta, gamma}) {
    if (world.image().keeper().host_id() == liar) continue;
    for (const std::string& id : {world.image().meta().id(), world.volume("web-disk0").meta().id()}) {
      v1::Observation gone;
      gone.set_id(id);
      gone.set_absent(true);
      world.fake(liar).say(gone);
      v1::Observation other;
      other.set_id(id);
      other.mutable_image()->set_state(v1::ImageStatus::FAILED);
      world.fake(liar).say(other);
      other.mutable_volume()->set_state(v1::VolumeStatus::FAILED);
      world.fake(liar).say(other);
    }
    v1::Observation lie;
    lie.set_id(pool.meta().id());
    lie.mutable_pool()->set_state(v1::PoolStatus::FAILED);
    lie.mutable_pool()->set_capacity_bytes(1);
    for (const char* host : {kHostId.c_str(), "nobody"}) lie.mutable_pool()->add_hosts()->set_host_id(host);
    world.fake(liar).asleep = true;
    world.fake(liar).say(lie);
    world.executor.run_for(500);
    EXPECT_EQ(world.pool().status().state(), v1::PoolStatus::READY);
    EXPECT_EQ(world.pool().status().capacity_bytes(), pool.status().capacity_bytes());
    EXPECT_EQ(world.pool().status().hosts_size(), 2);
    EXPECT_EQ(world.state_on(kHostId), v1::PoolStatus::READY);
    EXPECT_EQ(world.state_on(liar), liar == gamma ? v1::PoolStatus::UNKNOWN : v1::PoolStatus::FAILED);
  }
  EXPECT_EQ(record_bytes(world.image()), image);
  EXPECT_EQ(record_bytes(world.volume("web-disk0")), disk);
}

TEST(HostileSharer, CannotSayThatAPoolIsGoneThatOthersGiveUp) {
  SharedWorld world;
  world.joined[world.beta]->problems["shared"].set_summary("not mounted");
  world.make_pool();
  world.host.asleep = true;
  const auto accepted = world.accept("DeletePool", World::by_id("shared"));
  v1::Observation lie;
  lie.set_id(world.pool().meta().id());
  lie.set_absent(true);
  world.joined[world.beta]->say(lie);
  world.executor.run_for(1'000);
  ASSERT_NE(world.find<v1::Pool>("shared"), nullptr);
  world.host.asleep = false;
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED);
}

TEST(HostileSharer, CannotSayThatAPoolIsMadeBeforeItsMaker) {
  SharedWorld world;
  world.host.asleep = true;
  world.accept("CreatePool", SharedWorld::pool_request());
  v1::Observation lie;
  lie.set_id(world.pool().meta().id());
  lie.mutable_pool()->set_state(v1::PoolStatus::READY);
  lie.mutable_pool()->set_capacity_bytes(7);
  world.joined[world.beta]->say(lie);
  world.executor.run_for(60'000);
  EXPECT_EQ(world.pool().status().state(), v1::PoolStatus::UNKNOWN);
  EXPECT_EQ(world.pool().status().capacity_bytes(), 0U);
}

}  // namespace
}  // namespace gantry::control
