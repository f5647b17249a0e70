#include "policy/place.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/rng.h"
#include "policy/test_hosts.h"

namespace gantry::policy {
namespace {

using testing::HasSubstr;

std::string reason_of(const v1::PlacementDecision& decision, const std::string& host_id) {
  const auto* candidate = candidate_of(decision, host_id);
  return candidate == nullptr ? "no candidate" : candidate->reason();
}

TEST(Place, PrefersTheHostWithMoreMemoryLeft) {
  Cluster cluster;
  cluster.add(make_host("a", 8192), 6000);
  cluster.add(make_host("b", 8192));
  const v1::PlacementDecision decision = place(cluster.hosts, {.memory_mib = 1024});
  EXPECT_EQ(decision.host_id(), "b");
  ASSERT_EQ(decision.candidates_size(), 2);
  EXPECT_EQ(decision.candidates(0).host_id(), "b") << "the best stands first";
  EXPECT_TRUE(decision.candidates(1).fits());
  EXPECT_GT(decision.candidates(0).score(), decision.candidates(1).score());
}

TEST(Place, PrefersHardwareVirtualization) {
  Cluster cluster;
  cluster.add(make_host("a", 65536));
  cluster.add(make_host("b", 8192)).guests = 20;
  cluster.records[1].mutable_status()->set_accelerator("kvm");
  EXPECT_EQ(place(cluster.hosts, {.memory_mib = 1024}).host_id(), "b");
}

TEST(Place, PrefersTheHostWithFewerGuestsAndProcessorsTaken) {
  Cluster cluster;
  cluster.add(make_host("a", 8192)).guests = 3;
  cluster.add(make_host("b", 8192));
  EXPECT_EQ(place(cluster.hosts, {.memory_mib = 1024}).host_id(), "b");
  cluster.hosts[0].guests = 0;
  cluster.hosts[0].promised_cpus = 10;
  EXPECT_EQ(place(cluster.hosts, {.memory_mib = 1024}).host_id(), "b");
}

TEST(Place, ATpmNeedsTheProgramForIt) {
  Cluster cluster;
  for (const char* id : {"a", "b"}) cluster.add(make_host(id, 8192));
  cluster.records[1].mutable_status()->set_swtpm_version("0.7.1");
  const v1::PlacementDecision decision = place(cluster.hosts, {.memory_mib = 512, .tpm = true});
  EXPECT_EQ(decision.host_id(), "b");
  EXPECT_EQ(reason_of(decision, "a"), "it has no swtpm, which a TPM needs");
}

TEST(Place, SaysWhyEachHostDoesNotFit) {
  Cluster cluster;
  for (const char* id : {"a", "b", "c", "e", "f", "g", "h"}) cluster.add(make_host(id, 8192));
  cluster.add(make_host("d", 1024));
  cluster.records[0].mutable_status()->set_state(v1::HostStatus::LOST);
  cluster.records[1].mutable_spec()->set_cordoned(true);
  cluster.records[2].mutable_status()->clear_accelerator();
  cluster.records[4].mutable_spec()->set_maintenance(true);
  cluster.records[5].mutable_meta()->mutable_deletion();
  cluster.records[6].mutable_status()->set_cpus(0);
  PlaceDemand demand{.memory_mib = 1024};
  demand.reach = {{.reason = "pool default is not on it", .host_ids = {"a", "b", "c", "d", "f", "g", "h"}}};
  const v1::PlacementDecision decision = place(cluster.hosts, demand);
  EXPECT_EQ(decision.host_id(), "");
  EXPECT_EQ(decision.reason(), "no host fits");
  EXPECT_EQ(reason_of(decision, "a"), "it is not connected");
  EXPECT_EQ(reason_of(decision, "b"), "it is cordoned");
  EXPECT_EQ(reason_of(decision, "c"), "it cannot run guests");
  EXPECT_THAT(reason_of(decision, "d"), HasSubstr("768 MiB of 1024 MiB left"));
  EXPECT_EQ(reason_of(decision, "e"), "pool default is not on it");
  cluster.records[3].mutable_spec()->set_cordoned(true);
  EXPECT_EQ(reason_of(place(cluster.hosts, demand), "e"), "it is cordoned; pool default is not on it") << "all of them";
  EXPECT_EQ(reason_of(decision, "f"), "it is in maintenance");
  EXPECT_EQ(reason_of(decision, "g"), "it is leaving the cluster");
  EXPECT_THAT(reason_of(decision, "h"), HasSubstr("0 virtual processors left"));
  EXPECT_THAT(why_nowhere(decision), HasSubstr("name-b: it is cordoned; name-c: it cannot run guests"));
}

TEST(Place, WantsTheLabelsAndTheProcessorAskedFor) {
  Cluster cluster;
  cluster.add(make_host("a", 8192, {{"disk", "ssd"}}));
  cluster.add(make_host("b", 8192, {{"disk", "ssd"}, {"site", "north"}}));
  cluster.add(make_host("c", 8192, {{"disk", "hdd"}, {"site", "north"}}));
  PlaceDemand demand{.memory_mib = 64};
  demand.host_labels = {{"disk", "ssd"}, {"site", "north"}};
  v1::PlacementDecision decision = place(cluster.hosts, demand);
  EXPECT_EQ(decision.host_id(), "b");
  EXPECT_EQ(decision.reason(), "name-b is the only host that fits");
  EXPECT_EQ(reason_of(decision, "a"), "it has no label site=north");
  EXPECT_EQ(reason_of(decision, "c"), "it has no label disk=ssd");
  demand = {.memory_mib = 64};
  demand.cpu_model = "Nehalem";
  cluster.records[2].mutable_status()->add_cpu_models("Nehalem");
  decision = place(cluster.hosts, demand);
  EXPECT_EQ(decision.host_id(), "c");
  EXPECT_EQ(reason_of(decision, "a"), "its processors cannot be Nehalem");
}

TEST(Place, KeepsToTheHostAskedFor) {
  Cluster cluster;
  cluster.add(make_host("a", 65536));
  cluster.add(make_host("b", 8192));
  EXPECT_EQ(place(cluster.hosts, {.memory_mib = 1024, .host_id = "b"}).host_id(), "b");
  EXPECT_EQ(place(cluster.hosts, {.memory_mib = 1024, .host_id = "z"}).host_id(), "");
}

TEST(Place, APreferredRuleOutweighsAllElse) {
  Cluster cluster;
  cluster.add(make_host("a", 65536));
  cluster.add(make_host("b", 1024), 100);
  cluster.records[0].mutable_status()->set_accelerator("kvm");
  v1::Rule rule = make_rule("away", v1::RuleSpec::NOT_ON_HOSTS, {"v"}, {"a"});
  rule.mutable_spec()->set_preferred(true);
  PlaceDemand demand{.memory_mib = 64};
  demand.rules = {{.record = &rule}};
  v1::PlacementDecision decision = place(cluster.hosts, demand);
  EXPECT_EQ(decision.host_id(), "b");
  EXPECT_THAT(reason_of(decision, "a"), HasSubstr("less preferred: rule \"away\" keeps it off this host"));
  cluster.records[1].mutable_spec()->set_cordoned(true);
  EXPECT_EQ(place(cluster.hosts, demand).host_id(), "a") << "no rule stands in the way when there is nothing better";
}

TEST(Place, OfManyHostsTheRecordHasSome) {
  Cluster cluster;
  for (int i = 0; i < 100; ++i) {
    cluster.add(make_host(std::to_string(1000 + i), 8192));
    if (i % 2 == 0) cluster.records.back().mutable_spec()->set_cordoned(true);
  }
  const v1::PlacementDecision whole = place(cluster.hosts, {.memory_mib = 64});
  const v1::PlacementDecision brief = in_short(whole);
  EXPECT_EQ(brief.candidates_size(), 20);
  EXPECT_EQ(brief.candidates(0).host_id(), whole.host_id());
  EXPECT_FALSE(brief.candidates(19).fits());
  EXPECT_THAT(brief.reason(), HasSubstr("80 more hosts"));
  for (v1::Host& host : cluster.records) host.mutable_spec()->set_cordoned(true);
  EXPECT_EQ(why_nowhere(place(cluster.hosts, {.memory_mib = 64})),
            "name-1000, name-1001, name-1002 and 97 more: it is cordoned");
}

// Every cluster of three hosts out of these, and every demand out of those: what is decided, what is told of each host,
// and what the filters say one by one, agree; and the order of the hosts makes no difference.
TEST(Place, DecidesWhatItTells) {
  std::vector<v1::Host> kinds = {make_host("x", 512), make_host("x", 2048), make_host("x", 2048, {{"disk", "ssd"}}),
                                 make_host("x", 4096), make_host("x", 4096, {{"disk", "ssd"}})};
  kinds[1].mutable_status()->set_accelerator("kvm");
  kinds[3].mutable_spec()->set_cordoned(true);
  kinds[4].mutable_status()->add_cpu_models("Nehalem");
  std::vector<PlaceDemand> demands(5, PlaceDemand{.cpus = 4, .memory_mib = 1024});
  demands[1].memory_mib = 128;
  demands[2].host_labels = {{"disk", "ssd"}};
  demands[3].cpu_model = "Nehalem";
  demands[4].reach = {{.reason = "pool p is not on it", .host_ids = {"a", "c"}}};
  int placed = 0;
  for (std::size_t pick = 0; pick < kinds.size() * kinds.size() * kinds.size(); ++pick) {
    Cluster cluster;
    std::size_t rest = pick;
    for (const char* id : {"a", "b", "c"}) {
      PlaceHost& host = cluster.add(kinds[rest % kinds.size()], (rest % 3) * 400);
      host.promised_cpus = (rest % 2) * 125;
      cluster.records.back().mutable_meta()->set_id(id);
      cluster.records.back().mutable_meta()->set_name(id);
      rest /= kinds.size();
    }
    for (const PlaceDemand& demand : demands) {
      const v1::PlacementDecision decision = place(cluster.hosts, demand);
      ASSERT_EQ(decision.candidates_size(), 3);
      double best = -1e9;
      for (const PlaceHost& host : cluster.hosts) {
        const auto* candidate = candidate_of(decision, host.record->meta().id());
        const bool fits = !host.record->spec().cordoned() && start_obstacle(host, demand).empty();
        ASSERT_EQ(candidate->fits(), fits) << candidate->reason();
        ASSERT_FALSE(candidate->reason().empty());
        if (fits) best = std::max(best, candidate->score());
      }
      ASSERT_EQ(decision.host_id().empty(), best == -1e9);
      if (!decision.host_id().empty()) {
        ASSERT_EQ(candidate_of(decision, decision.host_id())->score(), best);
        ++placed;
      }
      std::reverse(cluster.hosts.begin(), cluster.hosts.end());
      ASSERT_EQ(place(cluster.hosts, demand).SerializeAsString(), decision.SerializeAsString());
    }
  }
  EXPECT_GT(placed, 100);
}

TEST(Place, NeverPromisesMoreThanThereIs) {
  Rng rng(7);
  Cluster cluster;
  for (const char* id : {"a", "b", "c", "d", "e"}) cluster.add(make_host(id, 512 + rng.below(16384)));
  int placed = 0;
  for (int i = 0; i < 500; ++i) {
    const PlaceDemand demand{.cpus = static_cast<std::uint32_t>(1 + rng.below(12)), .memory_mib = 16 + rng.below(1024)};
    PlaceHost* host = cluster.find(place(cluster.hosts, demand).host_id());
    if (host == nullptr) continue;
    host->reserved_mib += demand.memory_mib;
    host->promised_cpus += demand.cpus;
    host->guests += 1;
    ++placed;
    const std::uint64_t memory_mib = host->record->status().memory_bytes() >> 20U;
    ASSERT_LE(host->reserved_mib + host_reserve_mib(memory_mib), memory_mib);
    ASSERT_LE(host->promised_cpus, host->record->status().cpus() * kCpuOvercommit);
  }
  EXPECT_GT(placed, 5);
}

TEST(Place, AHostAlreadyOvercommittedHasNoRoom) {
  Cluster cluster;
  EXPECT_NE(memory_obstacle(cluster.add(make_host("a", 1024), 4096), 1), "");
  EXPECT_EQ(memory_obstacle(cluster.add(make_host("b", 1024), 768), 0), "");
  PlaceHost& host = cluster.add(make_host("c", 1024));
  host.promised_cpus = 8 * kCpuOvercommit + 1;
  EXPECT_NE(cpu_obstacle(host, 1), "");
  host.promised_cpus = 8;
  EXPECT_EQ(cpu_obstacle(host, 8), "");
  host.cpu_overcommit = 1;
  EXPECT_EQ(cpu_obstacle(host, 1),
            "it has 0 virtual processors left to promise (1 for each of its 8), 1 are asked for");
}

}  // namespace
}  // namespace gantry::policy
