// What many hosts and VMs make the manager do: counted, not timed.
#include <algorithm>

#include "control/machines.h"
#include "control/test_world.h"

namespace gantry::control {
namespace {

v1::CreateVmRequest small_vm(const std::string& name) {
  v1::CreateVmRequest request;
  request.set_name(name);
  request.mutable_spec()->set_memory_mib(16);
  request.mutable_spec()->add_disks()->mutable_create()->set_capacity_bytes(1ULL << 30U);
  return request;
}

void make_vms(World& world, int count) {
  v1::FromHost large = world.host.begin();
  large.mutable_host()->set_cpus(1'000);
  large.mutable_host()->set_accelerator("tcg");
  large.mutable_host()->set_memory_bytes(1ULL << 40U);
  world.link.say(large);
  world.executor.run_for(1'000);
  for (int i = 0; i < count; ++i) {
    ASSERT_EQ(world.ended(world.accept("CreateVm", small_vm("vm" + std::to_string(i)))).state(), v1::Task::SUCCEEDED);
  }
}

TEST(Scale, WhatIsSaidAgainIsNotWrittenAgain) {
  constexpr int kVms = 40;
  World world;
  make_vms(world, kVms);
  world.executor.run_for(60'000);
  std::size_t told = 0;
  world.link.to_host = [&](const std::string&, const v1::ToHost& message) {
    told += static_cast<std::size_t>(message.assignments_size());
    // It says of all of them what it said before.
    world.host.receive(message);
  };
  std::size_t transactions = 0;
  world.store.choose_fault = [&](const port::Txn&) {
    ++transactions;
    return FakeStore::Fault::none;
  };
  world.executor.run_for(60'000);
  EXPECT_GE(told, 2U * kVms);
  EXPECT_EQ(transactions, 0U);
}

TEST(Scale, NothingFollowsFromWhatIsSettled) {
  World world;
  world.make_image();
  world.make_vm();
  world.executor.run_for(1'000);
  const View& view = world.core->view();
  const std::string vm_id = world.vm().meta().id();
  for (const std::string& id : {vm_id, world.vm().spec().disks(0).volume(), world.vm().spec().image(),
                                world.vm().spec().nics(0).network(), world.find<v1::Pool>("default")->meta().id()}) {
    EXPECT_FALSE(is_open(view, id)) << id;
  }
  world.host.asleep = true;
  world.accept("StopVm", World::stop_request());
  EXPECT_TRUE(is_open(view, vm_id)) << "it is to be stopped, and a task waits for that";
  EXPECT_FALSE(is_open(view, world.vm().spec().image()));
}

TEST(Scale, HostsAreSentEverythingInTheirTurns) {
  constexpr std::size_t kHosts = 60;
  World world;
  std::vector<std::string> hosts;
  for (std::size_t i = 0; i < kHosts; ++i) hosts.push_back(world.join("h" + std::to_string(i)));
  world.restart();
  world.executor.run_for(100);
  for (const std::string& id : hosts) world.joined.at(id)->connect();
  world.executor.run_for(1'000);
  std::map<Milliseconds, std::size_t> at_once;
  std::set<std::string> told;
  world.link.to_host = [&](const std::string& id, const v1::ToHost& message) {
    if (!message.complete()) return;
    ++at_once[world.executor.now().monotonic_ms];
    told.insert(id);
  };
  world.executor.run_for(4 * world.options.resend_ms);
  EXPECT_EQ(told.size(), kHosts + 1);
  const auto most = std::ranges::max_element(at_once, {}, [](const auto& moment) { return moment.second; });
  ASSERT_NE(most, at_once.end());
  EXPECT_LE(most->second, 1U) << "a hundredth of them";
}

// An overlay with VMs on both hosts, where many more come to be.
TEST(Scale, OfACrowdOfNicsHostsAreToldTogether) {
  constexpr int kVms = 40;
  World world;
  world.host.address = "192.0.2.1";
  world.host.connect();
  const std::string beta = world.join("beta");
  world.joined[beta]->address = "192.0.2.2";
  world.joined[beta]->connect();
  world.executor.run_for(1'000);
  v1::CreateNetworkRequest overlay;
  overlay.set_name("segment");
  overlay.mutable_spec()->set_kind(v1::NetworkSpec::OVERLAY);
  ASSERT_EQ(world.ended(world.accept("CreateNetwork", overlay)).state(), v1::Task::SUCCEEDED);
  const auto make_on = [&](const std::string& name, const std::string& host) {
    auto request = small_vm(name);
    request.mutable_spec()->set_host(host);
    request.mutable_spec()->add_nics()->set_network("segment");
    world.accept("CreateVm", request);
  };
  make_on("there", "beta");
  world.executor.run_for(1'000);
  const std::string id = world.find<v1::Network>("segment")->meta().id();
  std::size_t messages = 0;
  int entries = 0;
  world.link.to_host = [&](const std::string& host_id, const v1::ToHost& message) {
    for (const v1::Assignment& assignment : message.assignments()) {
      if (host_id != beta || assignment.network().meta().id() != id) continue;
      ++messages;
      entries = assignment.overlay_entries_size();
    }
  };
  const Milliseconds begin_ms = world.executor.now().monotonic_ms;
  for (int i = 0; i < kVms; ++i) make_on("vm" + std::to_string(i), world.find<v1::Host>(kHostId)->meta().name());
  world.executor.run_for(1'000);
  const auto quarters = static_cast<std::size_t>((world.executor.now().monotonic_ms - begin_ms) / 250);
  EXPECT_EQ(entries, kVms);
  EXPECT_LE(messages, quarters + 1);
  EXPECT_LT(messages, static_cast<std::size_t>(kVms));
}

// Only rules that name a group have its members told.
TEST(Scale, AGroupThatNoRuleNamesIsNobodysBusiness) {
  World world;
  v1::CreateSecurityGroupRequest plain;
  plain.set_name("plain");
  plain.mutable_spec()->add_rules()->set_protocol(v1::SecurityRule::ICMP);
  world.accept("CreateSecurityGroup", plain);
  const auto make = [&](const std::string& name, const std::string& group) {
    auto request = small_vm(name);
    request.mutable_spec()->add_nics()->add_security_groups(group);
    ASSERT_EQ(world.ended(world.accept("CreateVm", request)).state(), v1::Task::SUCCEEDED);
  };
  make("a", "plain");
  world.executor.run_for(1'000);
  const std::string id = world.vm("a").meta().id();
  std::size_t told = 0;
  world.link.to_host = [&](const std::string&, const v1::ToHost& message) {
    for (const v1::Assignment& assignment : message.assignments()) told += assignment.vm().meta().id() == id ? 1 : 0;
    world.host.receive(message);
  };
  make("b", "plain");
  EXPECT_EQ(told, 0U);
}

}  // namespace
}  // namespace gantry::control
