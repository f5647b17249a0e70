#include "policy/rule.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "policy/cpu_models.h"
#include "policy/test_hosts.h"

namespace gantry::policy {
namespace {

TEST(Rule, CoversVmsByIdAndByAllOfItsLabels) {
  v1::Rule rule = make_rule("r", v1::RuleSpec::APART, {"vm-1", "vm-3"});
  EXPECT_TRUE(covers(rule.spec(), make_vm("vm-1")));
  EXPECT_FALSE(covers(rule.spec(), make_vm("vm-2", {{"tier", "web"}})));
  (*rule.mutable_spec()->mutable_vm_labels())["tier"] = "web";
  (*rule.mutable_spec()->mutable_vm_labels())["site"] = "north";
  EXPECT_FALSE(covers(rule.spec(), make_vm("vm-2", {{"tier", "web"}})));
  EXPECT_TRUE(covers(rule.spec(), make_vm("vm-2", {{"tier", "web"}, {"site", "north"}, {"more", ""}})));
  EXPECT_TRUE(covers(rule.spec(), make_vm("vm-3")));
}

TEST(Rule, HostsWithoutTheLabelAreInNoDomain) {
  v1::Rule rule = make_rule("racks", v1::RuleSpec::APART);
  rule.mutable_spec()->set_failure_domain("rack");
  PlaceRule place{.record = &rule};
  const v1::Host r1 = make_host("a", 1024, {{"rack", "r1"}});
  const v1::Host same = make_host("b", 1024, {{"rack", "r1"}});
  const v1::Host r2 = make_host("c", 1024, {{"rack", "r2"}});
  const v1::Host none = make_host("d", 1024);
  add_other(place, make_vm("web2"), r1);
  add_other(place, make_vm("web1"), same);
  add_other(place, make_vm("web0"), none);
  EXPECT_EQ(rule_obstacle(place, r1), "rule \"racks\" keeps it apart from VM \"web1\" (rack=r1)");
  EXPECT_EQ(rule_obstacle(place, same), rule_obstacle(place, r1));
  EXPECT_EQ(rule_obstacle(place, r2), "");
  EXPECT_EQ(rule_obstacle(place, none), "it has no label \"rack\", which rule \"racks\" goes by");
  rule.mutable_spec()->set_kind(v1::RuleSpec::TOGETHER);
  EXPECT_EQ(rule_obstacle(place, same), "");
  EXPECT_EQ(rule_obstacle(place, r2), "rule \"racks\" keeps it together with VM \"web1\" (rack=r1)");
  EXPECT_EQ(rule_obstacle({.record = &rule}, r2), "") << "the first of them may be anywhere";
}

TEST(Rule, OnlyWhatCannotBothBeContradicts) {
  v1::RuleSpec together;
  v1::RuleSpec apart;
  apart.set_kind(v1::RuleSpec::APART);
  EXPECT_TRUE(contradict(together, apart));
  EXPECT_FALSE(contradict(apart, together));
  apart.set_failure_domain("rack");
  EXPECT_TRUE(contradict(together, apart)) << "on one host, and in two racks";
  together.set_failure_domain("rack");
  EXPECT_TRUE(contradict(together, apart));
  apart.clear_failure_domain();
  EXPECT_FALSE(contradict(together, apart)) << "in one rack, on two hosts";
}

bool is_kept(const v1::RuleSpec& rule, const v1::Host& one, const v1::Host& other) {
  const auto a = domain_of(rule, one);
  const auto b = domain_of(rule, other);
  return a && b && (*a == *b) == (rule.kind() == v1::RuleSpec::TOGETHER);
}

// Every way to place four VMs one after another under two distance rules and a host rule, whatever hosts are full:
// whoever is placed keeps them all, and whoever is not could not be placed.
TEST(Rule, HoldForAllThatArePlaced) {
  const std::vector<std::string> vms = {"v0", "v1", "v2", "v3"};
  int placed_in_all = 0;
  for (unsigned pick = 0; pick < 16 * 16 * 16; ++pick) {
    Cluster cluster;
    for (unsigned i = 0; i < 4; ++i) {
      cluster.add(make_host("h" + std::to_string(i), 512, {{"rack", i < 2 ? "r1" : "r2"}}));
      if ((pick >> (8 + i) & 1U) != 0) cluster.hosts.back().reserved_mib = 200;
    }
    std::vector<v1::Rule> rules(3);
    for (unsigned i = 0; i < 4; ++i) {
      if ((pick >> i & 1U) != 0) rules[0].mutable_spec()->add_vms(vms[i]);
      if ((pick >> (4 + i) & 1U) != 0) rules[1].mutable_spec()->add_vms(vms[i]);
    }
    rules[0].mutable_spec()->set_kind(v1::RuleSpec::APART);
    rules[1].mutable_spec()->set_kind(v1::RuleSpec::TOGETHER);
    rules[1].mutable_spec()->set_failure_domain("rack");
    rules[2].mutable_spec()->set_kind(v1::RuleSpec::NOT_ON_HOSTS);
    rules[2].mutable_spec()->add_vms("v3");
    rules[2].mutable_spec()->add_hosts("h2");
    std::map<std::string, const v1::Host*> placed;
    const auto breaks = [&](const std::string& id, const v1::Host& host) {
      for (const v1::Rule& rule : rules) {
        if (!covers(rule.spec(), make_vm(id))) continue;
        if (is_about_hosts(rule.spec()) && names(rule.spec(), host)) return true;
        for (const auto& [other, there] : placed) {
          const bool concerns = !is_about_hosts(rule.spec()) && covers(rule.spec(), make_vm(other));
          if (concerns && !is_kept(rule.spec(), host, *there)) return true;
        }
      }
      return false;
    };
    for (const std::string& id : vms) {
      PlaceDemand demand{.memory_mib = 128};
      for (const v1::Rule& rule : rules) {
        if (!covers(rule.spec(), make_vm(id))) continue;
        PlaceRule& place = demand.rules.emplace_back(PlaceRule{.record = &rule});
        for (const auto& [other, there] : placed) {
          if (covers(rule.spec(), make_vm(other))) add_other(place, make_vm(other), *there);
        }
      }
      PlaceHost* host = cluster.find(place(cluster.hosts, demand).host_id());
      if (host != nullptr) {
        ASSERT_FALSE(breaks(id, *host->record)) << id << " of " << pick;
        placed[id] = host->record;
        host->reserved_mib += 128;
        ++placed_in_all;
        continue;
      }
      for (const PlaceHost& other : cluster.hosts) {
        ASSERT_TRUE(breaks(id, *other.record) || !memory_obstacle(other, 128).empty()) << id << " of " << pick;
      }
    }
  }
  EXPECT_GT(placed_in_all, 1'000);
}

TEST(CpuModels, TheBestThatAllHave) {
  v1::Host old = make_host("a", 1024);
  v1::Host fresh = make_host("b", 1024);
  for (const char* model : {"qemu64", "Nehalem", "Westmere"}) old.mutable_status()->add_cpu_models(model);
  for (const char* model : {"qemu64", "Haswell", "Nehalem", "Westmere"}) fresh.mutable_status()->add_cpu_models(model);
  const std::vector<const v1::Host*> both = {&old, &fresh};
  EXPECT_EQ(best_common_cpu_model(both), "Westmere");
  const std::vector<const v1::Host*> one = {&fresh};
  EXPECT_EQ(best_common_cpu_model(one), "Haswell");
  EXPECT_EQ(best_common_cpu_model({}), "");
  old.mutable_status()->clear_cpu_models();
  EXPECT_EQ(best_common_cpu_model(both), "");
}

}  // namespace
}  // namespace gantry::policy
