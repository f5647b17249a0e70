// Networks that are on every host, and security groups: what hosts are told, and what is heard of them.
#include <gmock/gmock.h>

#include "control/test_world.h"
#include "model/ipv4.h"

namespace gantry::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

v1::CreateNetworkRequest overlay_request(const std::string& name = "segment") {
  v1::CreateNetworkRequest request;
  request.set_name(name);
  request.mutable_spec()->set_kind(v1::NetworkSpec::OVERLAY);
  return request;
}

v1::CreateNetworkRequest vlan_request(const std::string& name, std::uint32_t vlan) {
  v1::CreateNetworkRequest request;
  request.set_name(name);
  request.mutable_spec()->set_kind(v1::NetworkSpec::VLAN);
  request.mutable_spec()->set_vlan(vlan);
  request.mutable_spec()->set_uplink("eno1");
  return request;
}

// Two hosts with addresses, and VMs that need nothing but a network.
struct Cluster : World {
  std::string beta;

  Cluster() {
    host.address = "192.0.2.1";
    host.connect();
    beta = join("beta");
    joined[beta]->address = "192.0.2.2";
    joined[beta]->connect();
    executor.run_for(1'000);
  }
  v1::Task make_network(const v1::CreateNetworkRequest& request) { return ended(accept("CreateNetwork", request)); }
  static v1::CreateVmRequest request_on(const std::string& name, const std::string& host_name,
                                        const std::vector<std::string>& groups = {}) {
    auto request = vm_request(name);
    v1::VmSpec& spec = *request.mutable_spec();
    spec.clear_image();
    spec.add_disks()->mutable_create()->set_capacity_bytes(1ULL << 30U);
    spec.set_host(host_name);
    spec.add_nics()->set_network("segment");
    for (const std::string& group : groups) spec.mutable_nics(0)->add_security_groups(group);
    return request;
  }
  v1::Vm make_on(const std::string& name, const std::string& host_name, const std::vector<std::string>& groups = {}) {
    const auto task = ended(accept("CreateVm", request_on(name, host_name, groups)));
    EXPECT_EQ(task.state(), v1::Task::SUCCEEDED) << task.problem().summary();
    return vm(name);
  }
  // What that host was told last of that record.
  v1::Assignment told(const std::string& host_id, const std::string& id) {
    v1::Assignment last;
    for (const v1::ToHost& message : sent[host_id]) {
      for (const v1::Assignment& assignment : message.assignments()) {
        const std::string& of = assignment.has_vm() ? assignment.vm().meta().id() : assignment.network().meta().id();
        if (of == id) last = assignment;
      }
    }
    return last;
  }
  std::vector<std::string> entries(const std::string& host_id) {
    std::vector<std::string> texts;
    const v1::Assignment last = told(host_id, find<v1::Network>("segment")->meta().id());
    for (const auto& entry : last.overlay_entries()) {
      texts.push_back(entry.mac() + " " + entry.ipv4() + " " + entry.address());
    }
    return texts;
  }
  static std::string text_of(const v1::Vm& vm, const std::string& address) {
    return vm.spec().nics(0).mac() + " " + vm.spec().nics(0).ipv4() + " " + address;
  }
  void delete_vm(const std::string& name) {
    v1::DeleteVmRequest request;
    request.set_id(name);
    EXPECT_EQ(ended(accept("DeleteVm", request)).state(), v1::Task::SUCCEEDED);
  }
  std::string make_group(const std::string& name, const std::vector<v1::SecurityRule>& rules) {
    v1::CreateSecurityGroupRequest request;
    request.set_name(name);
    for (const auto& rule : rules) *request.mutable_spec()->add_rules() = rule;
    const auto accepted = accept("CreateSecurityGroup", request);
    EXPECT_EQ(accepted.task().state(), v1::Task::SUCCEEDED);
    executor.run_for(300);
    return accepted.task().target_id();
  }
};

v1::SecurityRule rule_from(const std::string& group) {
  v1::SecurityRule rule;
  rule.set_group(group);
  return rule;
}

TEST(Segments, AnOverlayIsMadeOnEveryHostAndHasANumberOfItsOwn) {
  Cluster world;
  const auto task = world.make_network(overlay_request());
  EXPECT_EQ(task.state(), v1::Task::SUCCEEDED) << task.problem().summary();
  const auto& network = *world.find<v1::Network>("segment");
  EXPECT_TRUE(world.host.has(network.meta().id()));
  EXPECT_TRUE(world.joined[world.beta]->has(network.meta().id()));
  EXPECT_TRUE(network.status().host_id().empty());
  EXPECT_EQ(network.status().hosts_size(), 2);
  EXPECT_GT(network.spec().vni(), 0U);
  EXPECT_FALSE(network.spec().ipv4_subnet().empty());
  // What others say of it is not for hosts.
  EXPECT_FALSE(world.told(world.beta, network.meta().id()).network().has_status());
  world.make_network(overlay_request("other"));
  EXPECT_NE(world.find<v1::Network>("other")->spec().vni(), network.spec().vni());
  EXPECT_NE(world.find<v1::Network>("other")->spec().ipv4_subnet(), network.spec().ipv4_subnet());
}

TEST(Segments, AHostThatComesLaterHasThemToo) {
  Cluster world;
  world.make_network(overlay_request());
  const std::string gamma = world.join("gamma");
  const auto& network = *world.find<v1::Network>("segment");
  EXPECT_TRUE(world.joined[gamma]->has(network.meta().id()));
  EXPECT_EQ(network.status().hosts_size(), 3);
  EXPECT_EQ(network.status().state(), v1::NetworkStatus::READY);
}

// More than one round changes, and each is looked at again when a host comes.
TEST(Segments, ManyThatStayAsTheyAreKeepNoTaskWaiting) {
  World world;
  for (int i = 0; i < 50; ++i) {
    const auto made = world.ended(world.accept("CreateNetwork", vlan_request("floor-" + std::to_string(i), 100U + i)));
    ASSERT_EQ(made.state(), v1::Task::SUCCEEDED) << made.problem().summary();
  }
  world.make_image();
  world.host.asleep = true;
  const auto accepted = world.accept("CreateVm", World::vm_request());
  world.host.asleep = false;
  world.restart();
  // Rounds that never come to an end take no time at all.
  const Milliseconds end_ms = world.executor.now().monotonic_ms + 30'000;
  int steps = 0;
  while (steps < 100'000 && world.executor.step(end_ms)) ++steps;
  EXPECT_LT(steps, 100'000);
  EXPECT_EQ(world.task(accepted.task().meta().id()).state(), v1::Task::SUCCEEDED);
}

TEST(Segments, AHostWithoutTheUplinkIsNamed) {
  Cluster world;
  v1::Problem problem;
  problem.set_code("no_such_uplink");
  problem.set_summary("cannot have it");
  problem.set_cause("there is no interface \"eno1\"");
  world.joined[world.beta]->problems["floor"] = problem;
  EXPECT_EQ(world.make_network(vlan_request("floor", 120)).state(), v1::Task::SUCCEEDED);
  const auto& status = world.find<v1::Network>("floor")->status();
  EXPECT_EQ(status.state(), v1::NetworkStatus::READY);
  EXPECT_THAT(status.problem().summary(), HasSubstr("beta"));
  EXPECT_THAT(status.problem().cause(), HasSubstr("eno1"));
  EXPECT_EQ(world.refused("CreateNetwork", vlan_request("again", 120)), "vlan_in_use");
  world.host.problems["nowhere"] = problem;
  world.joined[world.beta]->problems["nowhere"] = problem;
  const auto task = world.make_network(vlan_request("nowhere", 121));
  EXPECT_EQ(task.state(), v1::Task::FAILED);
  EXPECT_THAT(task.problem().summary(), HasSubstr("alpha-example"));
}

TEST(Segments, ADeletionWaitsForEveryHostAndSaysForWhom) {
  Cluster world;
  world.make_network(overlay_request());
  const std::string id = world.find<v1::Network>("segment")->meta().id();
  world.joined[world.beta]->asleep = true;
  world.joined[world.beta]->disconnect();
  world.executor.run_for(20'000);
  const auto accepted = world.accept("DeleteNetwork", World::by_id("segment"));
  world.executor.run_for(30'000);
  const auto waiting = world.task(accepted.task().meta().id());
  EXPECT_EQ(waiting.state(), v1::Task::RUNNING);
  EXPECT_THAT(waiting.progress().phase(), HasSubstr("beta"));
  EXPECT_FALSE(world.host.has(id));
  world.joined[world.beta]->asleep = false;
  world.joined[world.beta]->connect();
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED);
  EXPECT_FALSE(world.joined[world.beta]->has(id));
  EXPECT_EQ(world.find<v1::Network>("segment"), nullptr);
}

TEST(Segments, ADeletionEndsWhenTheHostLeaves) {
  Cluster world;
  world.make_network(overlay_request());
  world.joined[world.beta]->asleep = true;
  world.joined[world.beta]->disconnect();
  world.executor.run_for(20'000);
  const auto accepted = world.accept("DeleteNetwork", World::by_id("segment"));
  world.executor.run_for(1'000);
  EXPECT_EQ(world.ended(world.accept("DeleteHost", World::leave("beta"))).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED);
}

TEST(Segments, AHostThatLeavesTakesItsPartDown) {
  Cluster world;
  world.make_network(overlay_request());
  const std::string id = world.find<v1::Network>("segment")->meta().id();
  EXPECT_EQ(world.ended(world.accept("DeleteHost", World::leave("beta"))).state(), v1::Task::SUCCEEDED);
  EXPECT_FALSE(world.joined[world.beta]->has(id));
  EXPECT_TRUE(world.host.has(id));
  EXPECT_EQ(world.find<v1::Network>("segment")->status().hosts_size(), 1);
  EXPECT_EQ(world.find<v1::Network>("segment")->status().state(), v1::NetworkStatus::READY);
}

TEST(Segments, HostsThatHaveGuestsInItAreToldWhereTheOthersAre) {
  Cluster world;
  world.make_network(overlay_request());
  const auto one = world.make_on("one", "alpha-example");
  EXPECT_THAT(world.entries(kHostId), IsEmpty());
  const auto two = world.make_on("two", "beta");
  world.executor.run_for(300);
  EXPECT_THAT(world.entries(kHostId), ElementsAre(Cluster::text_of(two, "192.0.2.2")));
  EXPECT_THAT(world.entries(world.beta), ElementsAre(Cluster::text_of(one, "192.0.2.1")));
  // An address that is none goes nowhere; one that changes is told.
  world.joined[world.beta]->address = "192.0.2.9";
  world.joined[world.beta]->connect();
  world.executor.run_for(300);
  EXPECT_THAT(world.entries(kHostId), ElementsAre(Cluster::text_of(two, "192.0.2.9")));
  world.joined[world.beta]->address = "192.0.2.9; reboot";
  world.joined[world.beta]->connect();
  world.executor.run_for(300);
  EXPECT_THAT(world.entries(kHostId), IsEmpty());
  world.delete_vm("two");
  EXPECT_THAT(world.entries(kHostId), IsEmpty());
}

// Overlays of other hosts would lead to themselves, to somebody else or to many.
TEST(Segments, AHostHasAnAddressOfItsOwnOrNone) {
  Cluster world;
  world.make_network(overlay_request());
  world.make_on("one", "alpha-example");
  const auto two = world.make_on("two", "beta");
  const auto claim = [&](const std::string& address) {
    world.joined[world.beta]->address = address;
    world.joined[world.beta]->connect();
    world.executor.run_for(300);
  };
  const auto subnet = model::parse_ipv4_subnet(world.find<v1::Network>("segment")->spec().ipv4_subnet());
  for (const std::string& address :
       {std::string("127.0.0.1"), std::string("0.0.0.0"), std::string("169.254.1.1"), std::string("224.0.0.1"),
        std::string("255.255.255.255"), std::string("192.0.2.1"), model::format_ipv4(*subnet->host(1))}) {
    claim(address);
    EXPECT_THAT(world.entries(kHostId), IsEmpty()) << address;
    const auto& status = world.find<v1::Host>("beta")->status();
    EXPECT_EQ(status.address(), "");
    ASSERT_EQ(status.problems_size(), 1) << address;
    EXPECT_THAT(status.problems(0).summary(), HasSubstr(address));
    EXPECT_EQ(world.find<v1::Host>("alpha-example")->status().address(), "192.0.2.1");
  }
  claim("192.0.2.9");
  EXPECT_THAT(world.entries(kHostId), ElementsAre(Cluster::text_of(two, "192.0.2.9")));
  EXPECT_EQ(world.find<v1::Host>("beta")->status().problems_size(), 0);
}

// Each for itself, and of nothing else.
TEST(Segments, AHostileHostSpeaksForItselfAlone) {
  Cluster world;
  world.make_network(overlay_request());
  const std::string id = world.find<v1::Network>("segment")->meta().id();
  v1::FromHost lie;
  lie.set_host_id(world.beta);
  lie.mutable_mark()->set_incarnation(~0ULL);
  v1::Observation& said = *lie.add_observations();
  said.set_id(id);
  said.mutable_network()->set_state(v1::NetworkStatus::FAILED);
  said.mutable_network()->set_host_id(kHostId);
  v1::NetworkOnHost& other = *said.mutable_network()->add_hosts();
  other.set_host_id(kHostId);
  other.set_state(v1::NetworkStatus::FAILED);
  world.link.say(lie);
  world.executor.run_for(300);
  const auto& status = world.find<v1::Network>("segment")->status();
  EXPECT_EQ(status.state(), v1::NetworkStatus::READY);
  ASSERT_EQ(status.hosts_size(), 2);
  for (const auto& entry : status.hosts()) {
    EXPECT_EQ(entry.state(), entry.host_id() == world.beta ? v1::NetworkStatus::FAILED : v1::NetworkStatus::READY);
  }
  // That nothing is left there is heard of what is to go, and of no other.
  lie.mutable_mark()->set_sequence(2);
  said.clear_status();
  said.set_absent(true);
  world.link.say(lie);
  world.executor.run_for(300);
  EXPECT_EQ(world.find<v1::Network>("segment")->status().hosts_size(), 2);
}

TEST(SecurityGroups, TravelWithTheVmAndNameTheirMembers) {
  Cluster world;
  world.make_network(overlay_request());
  const std::string web = world.make_group("web", {});
  const std::string database = world.make_group("database", {rule_from("web")});
  const auto one = world.make_on("one", "alpha-example", {"web"});
  const auto two = world.make_on("two", "beta", {"database"});
  EXPECT_THAT(two.spec().nics(0).security_groups(), ElementsAre(database));
  const auto groups_of = [&](const v1::Vm& vm) {
    return world.told(vm.placement().host_id(), vm.meta().id()).groups();
  };
  ASSERT_EQ(groups_of(one).size(), 1);
  EXPECT_TRUE(groups_of(one)[0].members().empty()) << "no rule names it";
  const auto member_addresses = [&] {
    world.executor.run_for(300);
    for (const auto& group : groups_of(two)) {
      if (group.group().meta().id() == web) return std::vector(group.members().begin(), group.members().end());
    }
    return std::vector<std::string>();
  };
  EXPECT_THAT(member_addresses(), ElementsAre(one.spec().nics(0).ipv4()));
  const auto three = world.make_on("three", "alpha-example", {"web"});
  EXPECT_EQ(member_addresses().size(), 2U);
  v1::UpdateVmRequest request;
  request.set_id("three");
  request.add_nic_security_groups();
  EXPECT_EQ(world.accept("UpdateVm", request).task().state(), v1::Task::SUCCEEDED);
  world.executor.run_for(300);
  EXPECT_EQ(member_addresses().size(), 1U);
  EXPECT_TRUE(groups_of(three).empty());
  world.delete_vm("one");
  EXPECT_THAT(member_addresses(), IsEmpty());
}

TEST(SecurityGroups, OtherRulesAreToldAtOnce) {
  Cluster world;
  world.make_network(overlay_request());
  world.make_group("web", {});
  const auto two = world.make_on("two", "beta", {"web"});
  v1::UpdateSecurityGroupRequest request;
  request.set_id("web");
  request.add_rules()->set_protocol(v1::SecurityRule::ICMP);
  *request.add_rules() = rule_from("web");
  const auto planned = world.accept("UpdateSecurityGroup", request, {.actor = "admin", .dry_run = true});
  EXPECT_THAT(planned.plan().steps(0), HasSubstr("1 VM"));
  EXPECT_EQ(world.accept("UpdateSecurityGroup", request).task().state(), v1::Task::SUCCEEDED);
  world.executor.run_for(300);
  const auto told = world.told(world.beta, two.meta().id());
  ASSERT_EQ(told.groups_size(), 1);
  EXPECT_EQ(told.groups(0).group().spec().rules_size(), 2);
  EXPECT_THAT(told.groups(0).members(), ElementsAre(two.spec().nics(0).ipv4())) << "its own members may";
}

TEST(SecurityGroups, WhatIsUsedStays) {
  Cluster world;
  world.make_network(overlay_request());
  world.make_group("web", {rule_from("web")});
  world.make_group("database", {rule_from("web")});
  world.make_on("one", "alpha-example", {"database"});
  EXPECT_EQ(world.refused("DeleteSecurityGroup", World::by_id("database")), "security_group_in_use");
  EXPECT_EQ(world.refused("DeleteSecurityGroup", World::by_id("web")), "security_group_in_use");
  world.delete_vm("one");
  world.accept("DeleteSecurityGroup", World::by_id("database"));
  world.accept("DeleteSecurityGroup", World::by_id("web"));
  world.executor.run_for(300);
  EXPECT_TRUE(world.core->view().all<v1::SecurityGroup>().by_id.empty());
}

TEST(SecurityGroups, WhatMakesNoSenseIsRefused) {
  Cluster world;
  v1::CreateNetworkRequest user;
  user.set_name("segment");
  user.mutable_spec()->set_kind(v1::NetworkSpec::USER);
  world.make_network(user);
  world.make_group("web", {});
  EXPECT_EQ(world.refused("CreateVm", Cluster::request_on("one", "alpha-example", {"web"})), "groups_not_allowed");
  EXPECT_EQ(world.refused("CreateVm", Cluster::request_on("one", "alpha-example", {"none"})), "groups_not_allowed");
  v1::CreateSecurityGroupRequest request;
  request.set_name("bad");
  *request.mutable_spec()->add_rules() = rule_from("nobody");
  EXPECT_EQ(world.refused("CreateSecurityGroup", request), "not_found");
  request.mutable_spec()->mutable_rules(0)->set_group("");
  request.mutable_spec()->mutable_rules(0)->set_port(22);
  EXPECT_EQ(world.refused("CreateSecurityGroup", request), "invalid_field");
}

}  // namespace
}  // namespace gantry::control
