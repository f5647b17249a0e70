// However much changes at once, a transaction stays within what etcd takes.
#include <algorithm>

#include "control/test_world.h"

namespace gantry::control {
namespace {

constexpr int kVms = 80;

struct Largest {
  std::size_t writes = 0;
  std::size_t compares = 0;
  std::size_t bytes = 0;

  void see(const port::Txn& txn) {
    std::size_t sum = 0;
    for (const port::Compare& compare : txn.compares) sum += compare.key.size();
    for (const port::Write& write : txn.writes) sum += write.key.size() + write.value.size();
    writes = std::max(writes, txn.writes.size());
    compares = std::max(compares, txn.compares.size());
    bytes = std::max(bytes, sum);
  }
};

// What each transaction of `world` is, from now on.
void watch(World& world, Largest& largest) {
  world.store.choose_fault = [&](const port::Txn& txn) {
    largest.see(txn);
    return FakeStore::Fault::none;
  };
}

// Many VMs are accepted while the host sleeps; then it tells of all at once.
void expect_rounds_within_limits(const std::string& user_data) {
  World world;
  Largest largest;
  world.make_image();
  watch(world, largest);
  world.host.asleep = true;
  for (int i = 0; i < kVms; ++i) {
    v1::CreateVmRequest request = World::vm_request("web-" + std::to_string(i));
    request.mutable_spec()->set_memory_mib(16);
    request.mutable_spec()->mutable_cloud_init()->set_user_data(user_data);
    world.accept("CreateVm", request);
  }
  world.host.asleep = false;
  world.restart();
  world.executor.run_for(60'000);
  for (int i = 0; i < kVms; ++i) {
    EXPECT_EQ(world.vm("web-" + std::to_string(i)).status().state(), v1::VmStatus::RUNNING) << i;
  }
  EXPECT_LE(largest.writes, 128U);
  EXPECT_LE(largest.compares, 128U);
  EXPECT_LE(largest.bytes, 1'500'000U);
  // Nor are they made so small that a crowd takes long.
  EXPECT_GE(std::max(largest.writes * 10'000, largest.bytes), 400'000U);
}

TEST(RoundSize, ManyRecordsAreWrittenInSeveralTransactions) { expect_rounds_within_limits(""); }

// One record's change makes a difference to more than a transaction holds.
TEST(RoundSize, WhatFollowsFromOneImageIsWrittenInSeveralTransactions) {
  constexpr int kWaiting = 200;
  World world;
  Largest largest;
  v1::FromHost large = world.host.begin();
  large.mutable_host()->set_cpus(kWaiting);
  large.mutable_host()->set_accelerator("tcg");
  large.mutable_host()->add_recipes("debian-12");
  large.mutable_host()->set_memory_bytes(1ULL << 40U);
  world.link.say(large);
  world.executor.run_for(1'000);
  world.host.asleep = true;
  world.accept("CreateImage", World::image_request());
  std::vector<v1::Accepted> accepted;
  for (int i = 0; i < kWaiting; ++i) {
    v1::CreateVmRequest request = World::vm_request("web-" + std::to_string(i));
    request.mutable_spec()->set_memory_mib(16);
    accepted.push_back(world.accept("CreateVm", request));
    v1::Observation seen;
    seen.set_id(accepted.back().task().target_id());
    seen.mutable_vm()->set_state(v1::VmStatus::PENDING);
    world.host.say(seen);
  }
  world.executor.run_for(1'000);
  watch(world, largest);
  // Whoever waits for it shows how far it is.
  v1::Observation image;
  image.set_id(world.find<v1::Image>("debian-12")->meta().id());
  image.mutable_image()->set_state(v1::ImageStatus::IMPORTING);
  image.mutable_image()->mutable_progress()->set_phase("fetching");
  world.host.say(image);
  world.executor.run_for(10'000);
  for (const v1::Accepted& each : accepted) {
    EXPECT_EQ(world.task(each.task().meta().id()).progress().phase(), "fetching");
  }
  EXPECT_LE(largest.writes, 128U);
  EXPECT_LE(largest.compares, 128U);
  EXPECT_GE(largest.writes, 40U);
}

TEST(RoundSize, ManyHostsThatComeAtOnceAreWrittenInSeveralTransactions) {
  constexpr int kHosts = 150;
  World world;
  Largest largest;
  std::vector<std::string> hosts;
  for (int i = 0; i < kHosts; ++i) hosts.push_back(world.join("h" + std::to_string(i)));
  watch(world, largest);
  world.restart();
  // Until the records are read.
  world.executor.run_for(100);
  for (const std::string& id : hosts) world.joined.at(id)->connect();
  world.executor.run_for(30'000);
  for (const std::string& id : hosts) {
    EXPECT_EQ(world.core->view().find<v1::Host>(id)->status().state(), v1::HostStatus::CONNECTED) << id;
  }
  EXPECT_LE(largest.writes, 128U);
  EXPECT_LE(largest.compares, 128U);
}

TEST(RoundSize, LargeRecordsAreWrittenInSeveralTransactions) {
  expect_rounds_within_limits("#cloud-config\n#" + std::string(60'000, 'x') + "\n");
}

}  // namespace
}  // namespace gantry::control
