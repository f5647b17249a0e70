// Placement rules as users make, change and delete them.
#include <gmock/gmock.h>

#include "control/test_world.h"

namespace gantry::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

v1::CreateRuleRequest rule_request(const std::string& name, v1::RuleSpec::Kind kind,
                                   const std::vector<std::string>& vms, const std::vector<std::string>& hosts = {}) {
  v1::CreateRuleRequest request;
  request.set_name(name);
  request.mutable_spec()->set_kind(kind);
  request.mutable_spec()->mutable_vms()->Assign(vms.begin(), vms.end());
  request.mutable_spec()->mutable_hosts()->Assign(hosts.begin(), hosts.end());
  return request;
}

// Bound to nothing; off unless it is to run.
v1::Task make_free_vm(World& world, const std::string& name, const std::string& tier = "", bool runs = false) {
  v1::CreateVmRequest request;
  request.set_name(name);
  request.mutable_spec()->set_memory_mib(512);
  request.mutable_spec()->add_disks()->mutable_create()->set_capacity_bytes(1ULL << 30U);
  if (!runs) request.mutable_spec()->set_power(v1::VmSpec::STOPPED);
  if (!tier.empty()) (*request.mutable_labels())["tier"] = tier;
  return world.ended(world.accept("CreateVm", request));
}

TEST(Rules, ApartPutsThemOnDifferentHostsUntilThereIsNoneLeft) {
  World world;
  world.join("beta");
  auto request = rule_request("spread", v1::RuleSpec::APART, {});
  (*request.mutable_spec()->mutable_vm_labels())["tier"] = "web";
  EXPECT_EQ(world.accept("CreateRule", request).task().state(), v1::Task::SUCCEEDED);
  make_free_vm(world, "a", "web");
  make_free_vm(world, "b", "web");
  EXPECT_NE(world.vm("a").placement().host_id(), world.vm("b").placement().host_id());
  v1::CreateVmRequest third;
  third.set_name("c");
  (*third.mutable_labels())["tier"] = "web";
  third.mutable_spec()->add_disks()->mutable_create()->set_capacity_bytes(1ULL << 30U);
  const auto answer = world.call("CreateVm", third);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().word(), "no_host_fits");
  EXPECT_THAT(answer.error().cause, HasSubstr("rule \"spread\" keeps it apart from VM \"a\""));
  EXPECT_THAT(answer.error().cause, HasSubstr("rule \"spread\" keeps it apart from VM \"b\""));
  EXPECT_EQ(make_free_vm(world, "d", "db").state(), v1::Task::SUCCEEDED);
  // A preferred rule gives way.
  v1::UpdateRuleRequest update;
  update.set_id("spread");
  update.set_preferred(true);
  world.accept("UpdateRule", update);
  EXPECT_EQ(world.refused("CreateVm", third), "");
}

TEST(Rules, OnHostsBindsAndIsToldInTheExplanation) {
  World world;
  const std::string beta = world.join("beta");
  auto request = rule_request("licensed", v1::RuleSpec::ON_HOSTS, {}, {"beta"});
  (*request.mutable_spec()->mutable_vm_labels())["tier"] = "erp";
  world.accept("CreateRule", request);
  for (const char* name : {"a", "b", "c"}) {
    make_free_vm(world, name, "erp");
    EXPECT_EQ(world.vm(name).placement().host_id(), beta);
  }
  const auto answer = world.call("GetVmPlacement", World::by_id("a"));
  ASSERT_TRUE(answer);
  const auto& now = dynamic_cast<v1::VmPlacementAnswer&>(**answer).now();
  ASSERT_EQ(now.candidates_size(), 2);
  EXPECT_EQ(now.candidates(1).host_id(), kHostId);
  EXPECT_THAT(now.candidates(1).reason(), HasSubstr("rule \"licensed\" keeps it on other hosts"));
}

TEST(Rules, WhatRunsStaysAndIsNamedInAWarning) {
  World world;
  world.make_image();
  for (const char* name : {"a", "b"}) world.make_vm(name);
  const v1::Accepted accepted = world.accept("CreateRule", rule_request("r", v1::RuleSpec::APART, {"a", "b"}));
  EXPECT_EQ(accepted.task().state(), v1::Task::SUCCEEDED);
  ASSERT_EQ(accepted.plan().warnings_size(), 1);
  EXPECT_THAT(accepted.plan().warnings(0), HasSubstr("stays on host alpha-example"));
  EXPECT_EQ(world.vm("a").status().state(), v1::VmStatus::RUNNING);
  v1::StopVmRequest stop;
  stop.set_id("a");
  world.ended(world.accept("StopVm", stop));
  const auto answer = world.call("StartVm", World::by_id("a"));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().word(), "no_host_fits");
  EXPECT_THAT(answer.error().cause, HasSubstr("rule \"r\" keeps it apart from VM \"b\""));
  // What does not run is in nobody's way.
  stop.set_id("b");
  world.ended(world.accept("StopVm", stop));
  EXPECT_EQ(world.ended(world.accept("StartVm", World::by_id("a"))).state(), v1::Task::SUCCEEDED);
}

// It is still wanted to run, so nothing else tells that it does not.
TEST(Rules, HoldForAGuestThatEndedByItselfWhenItIsStartedAgain) {
  World world;
  world.make_image();
  for (const char* name : {"a", "b"}) world.make_vm(name);
  world.host.guest_ends(world.vm("a").meta().id());
  world.host.connect();
  world.executor.run_for(30'000);
  ASSERT_EQ(world.vm("a").status().state(), v1::VmStatus::STOPPED);
  ASSERT_EQ(world.vm("a").spec().power(), v1::VmSpec::RUNNING);
  world.accept("CreateRule", rule_request("r", v1::RuleSpec::APART, {"a", "b"}));
  const auto answer = world.call("StartVm", World::by_id("a"));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().word(), "no_host_fits");
  EXPECT_THAT(answer.error().cause, HasSubstr("rule \"r\" keeps it apart from VM \"b\""));
  v1::StopVmRequest restart;
  restart.set_id("a");
  EXPECT_EQ(world.refused("RestartVm", restart), "no_host_fits");
  // A guest that is there is not taken away by a rule.
  restart.set_id("b");
  EXPECT_EQ(world.refused("RestartVm", restart), "");
}

TEST(Rules, ContradictionsAreRefusedWithTheReason) {
  World world;
  world.join("beta");
  for (const char* name : {"a", "b"}) make_free_vm(world, name);
  world.accept("CreateRule", rule_request("one", v1::RuleSpec::ON_HOSTS, {"a"}, {"beta"}));
  auto answer = world.call("CreateRule", rule_request("two", v1::RuleSpec::NOT_ON_HOSTS, {"a"}, {"beta"}));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().word(), "rules_contradict");
  EXPECT_THAT(answer.error().cause, HasSubstr("with \"one\" no host is left for VM \"a\""));
  EXPECT_EQ(world.refused("CreateRule", rule_request("two", v1::RuleSpec::NOT_ON_HOSTS, {"b"}, {"beta"})), "");
  EXPECT_EQ(
      world.refused("CreateRule", rule_request("none", v1::RuleSpec::NOT_ON_HOSTS, {"b"}, {"alpha-example", "beta"})),
      "rules_contradict");
  world.accept("CreateRule", rule_request("near", v1::RuleSpec::TOGETHER, {"a", "b"}));
  auto far = rule_request("far", v1::RuleSpec::APART, {"a", "b"});
  answer = world.call("CreateRule", far);
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().cause, HasSubstr("rule \"near\" wants the opposite of VM \""));
  far.mutable_spec()->set_preferred(true);
  EXPECT_EQ(world.refused("CreateRule", far), "");
}

TEST(Rules, AreCheckedWhenMadeAndWhenChanged) {
  World world;
  for (const char* name : {"a", "b"}) make_free_vm(world, name);
  EXPECT_EQ(world.refused("CreateRule", rule_request("r", v1::RuleSpec::APART, {"a"})), "invalid_field");
  EXPECT_EQ(world.refused("CreateRule", rule_request("r", v1::RuleSpec::APART, {"a", "b"}, {"alpha-example"})),
            "invalid_field");
  EXPECT_EQ(world.refused("CreateRule", rule_request("r", v1::RuleSpec::ON_HOSTS, {"a"})), "invalid_field");
  EXPECT_EQ(world.refused("CreateRule", rule_request("r", v1::RuleSpec::ON_HOSTS, {"a"}, {"nowhere"})), "not_found");
  EXPECT_EQ(world.refused("CreateRule", rule_request("r", v1::RuleSpec::APART, {"a", "nobody"})), "not_found");
  auto unknown = rule_request("r", v1::RuleSpec::APART, {"a", "b"});
  unknown.mutable_spec()->set_kind(static_cast<v1::RuleSpec::Kind>(17));
  EXPECT_EQ(world.refused("CreateRule", unknown), "invalid_field");
  world.accept("CreateRule", rule_request("r", v1::RuleSpec::APART, {"b", "a", "b"}));
  ASSERT_EQ(world.find<v1::Rule>("r")->spec().vms_size(), 2);
  EXPECT_LT(world.find<v1::Rule>("r")->spec().vms(0), world.find<v1::Rule>("r")->spec().vms(1));
  EXPECT_EQ(world.refused("CreateRule", rule_request("r", v1::RuleSpec::APART, {"a", "b"})), "already_exists");
  v1::UpdateRuleRequest update;
  update.set_id("r");
  EXPECT_EQ(world.refused("UpdateRule", update), "invalid_field") << "names nothing to change";
  update.mutable_update_mask()->add_paths("vms");
  EXPECT_EQ(world.refused("UpdateRule", update), "invalid_field") << "nobody would be left";
  EXPECT_EQ(world.find<v1::Rule>("r")->spec().vms_size(), 2);
}

TEST(Rules, ForgetWhatIsGone) {
  World world;
  world.join("beta");
  for (const char* name : {"a", "b", "c"}) make_free_vm(world, name);
  world.accept("CreateRule", rule_request("apart", v1::RuleSpec::APART, {"a", "b", "c"}));
  world.accept("CreateRule", rule_request("there", v1::RuleSpec::NOT_ON_HOSTS, {"a"}, {"beta"}));
  const std::string b = world.vm("b").meta().id();
  v1::DeleteVmRequest remove;
  for (const char* name : {"a", "c"}) {
    remove.set_id(name);
    ASSERT_EQ(world.ended(world.accept("DeleteVm", remove)).state(), v1::Task::SUCCEEDED);
  }
  world.executor.run_for(2'000);
  EXPECT_THAT(world.find<v1::Rule>("apart")->spec().vms(), ElementsAre(b));
  EXPECT_TRUE(world.find<v1::Rule>("there")->spec().vms().empty());
  remove.set_id("b");
  ASSERT_EQ(world.ended(world.accept("DeleteVm", remove)).state(), v1::Task::SUCCEEDED);
  ASSERT_EQ(world.ended(world.accept("DeleteHost", World::leave("beta"))).state(), v1::Task::SUCCEEDED);
  world.executor.run_for(2'000);
  EXPECT_TRUE(world.find<v1::Rule>("there")->spec().hosts().empty());
  EXPECT_EQ(world.accept("DeleteRule", World::by_id("there")).task().state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.find<v1::Rule>("there"), nullptr);
  EXPECT_EQ(world.refused("DeleteRule", World::by_id("there")), "not_found");
}

TEST(Rules, OneThatLostMembersCanStillBeChanged) {
  World world;
  for (const char* name : {"a", "b"}) make_free_vm(world, name);
  world.accept("CreateRule", rule_request("r", v1::RuleSpec::APART, {"a", "b"}));
  v1::DeleteVmRequest remove;
  remove.set_id("a");
  ASSERT_EQ(world.ended(world.accept("DeleteVm", remove)).state(), v1::Task::SUCCEEDED);
  world.executor.run_for(2'000);
  ASSERT_EQ(world.find<v1::Rule>("r")->spec().vms_size(), 1);
  v1::UpdateRuleRequest update;
  update.set_id("r");
  update.set_preferred(true);
  update.set_failure_domain("rack");
  EXPECT_EQ(world.refused("UpdateRule", update), "");
  EXPECT_TRUE(world.find<v1::Rule>("r")->spec().preferred());
  update.add_vms("b");
  EXPECT_EQ(world.refused("UpdateRule", update), "invalid_field") << "it takes two to be apart";
  world.accept("CreateRule", rule_request("there", v1::RuleSpec::ON_HOSTS, {"b"}, {"alpha-example"}));
  update.Clear();
  update.set_id("there");
  update.set_failure_domain("rack");
  EXPECT_EQ(world.refused("UpdateRule", update), "invalid_field");
}

TEST(Rules, AreNoHindranceToTakingBackAVm) {
  World world;
  world.host.asleep = true;
  v1::CreateVmRequest request;
  request.set_name("a");
  request.mutable_spec()->add_disks()->mutable_create()->set_capacity_bytes(1ULL << 30U);
  const v1::Accepted made = world.accept("CreateVm", request);
  world.accept("CreateRule", rule_request("r", v1::RuleSpec::ON_HOSTS, {"a"}, {"alpha-example"}));
  EXPECT_EQ(world.refused("CancelTask", World::by_id(made.task().meta().id())), "");
  world.host.asleep = false;
  world.host.connect();
  world.executor.run_for(5'000);
  EXPECT_EQ(world.find<v1::Vm>("a"), nullptr);
  EXPECT_TRUE(world.find<v1::Rule>("r")->spec().vms().empty());
}

TEST(Rules, ThatAChangeOfLabelsBreaksAreNamedInAWarning) {
  World world;
  for (const char* name : {"a", "b"}) make_free_vm(world, name, "web", true);
  auto request = rule_request("spread", v1::RuleSpec::APART, {});
  (*request.mutable_spec()->mutable_vm_labels())["tier"] = "db";
  EXPECT_EQ(world.accept("CreateRule", request).plan().warnings_size(), 0);
  v1::UpdateVmRequest update;
  (*update.mutable_labels())["tier"] = "db";
  update.set_id("a");
  EXPECT_EQ(world.accept("UpdateVm", update).plan().warnings_size(), 0) << "it alone";
  update.set_id("b");
  v1::Accepted accepted = world.accept("UpdateVm", update);
  ASSERT_EQ(accepted.plan().warnings_size(), 1);
  EXPECT_THAT(accepted.plan().warnings(0), HasSubstr("VM \"b\" stays on host alpha-example, though rule \"spread\""));
  (*update.mutable_labels())["owner"] = "me";
  EXPECT_EQ(world.accept("UpdateVm", update).plan().warnings_size(), 0) << "it was told";

  request = rule_request("fast", v1::RuleSpec::NOT_ON_HOSTS, {"a"});
  (*request.mutable_spec()->mutable_host_labels())["disk"] = "slow";
  EXPECT_EQ(world.accept("CreateRule", request).plan().warnings_size(), 0);
  v1::UpdateHostRequest host;
  host.set_id("alpha-example");
  (*host.mutable_labels())["rack"] = "r1";
  EXPECT_EQ(world.accept("UpdateHost", host).plan().warnings_size(), 0);
  (*host.mutable_labels())["disk"] = "slow";
  accepted = world.accept("UpdateHost", host);
  ASSERT_EQ(accepted.plan().warnings_size(), 1);
  EXPECT_THAT(accepted.plan().warnings(0), HasSubstr("VM \"a\" stays on host alpha-example, though rule \"fast\""));
}

TEST(Rules, ADryRunTellsAndMakesNothing) {
  World world;
  for (const char* name : {"a", "b"}) make_free_vm(world, name, "", true);
  const auto planned = world.accept("CreateRule", rule_request("r", v1::RuleSpec::APART, {"a", "b"}),
                                    {.actor = "admin", .dry_run = true});
  EXPECT_THAT(planned.plan().steps(), ElementsAre("never place two of the VMs (a, b) on one host"));
  EXPECT_EQ(planned.plan().warnings_size(), 1);
  EXPECT_EQ(world.find<v1::Rule>("r"), nullptr);
}

}  // namespace
}  // namespace gantry::control
