// One placement in a cluster of 1,000 hosts and 20,000 VMs, with rules and labels.
#include <benchmark/benchmark.h>

#include "policy/test_hosts.h"

namespace {

using namespace gantry::policy;

constexpr int kHosts = 1'000;
constexpr int kVms = 20'000;

Cluster make_cluster() {
  Cluster cluster;
  for (int i = 0; i < kHosts; ++i) {
    PlaceHost& host =
        cluster.add(make_host("host-" + std::to_string(100'000 + i), 262'144, {{"rack", std::to_string(i % 40)}}),
                    static_cast<std::uint64_t>(40'000 + i * 37 % 100'000));
    host.guests = kVms / kHosts;
    host.promised_cpus = host.guests * 2;
    for (const char* model : {"Haswell", "Nehalem", "Westmere", "qemu64"}) {
      cluster.records.back().mutable_status()->add_cpu_models(model);
    }
  }
  return cluster;
}

void place_one(benchmark::State& state) {
  const Cluster cluster = make_cluster();
  gantry::v1::Rule rule = make_rule("apart", gantry::v1::RuleSpec::APART);
  (*rule.mutable_spec()->mutable_vm_labels())["tier"] = "web";
  std::vector<gantry::v1::Vm> vms;
  for (int i = 0; i < kVms; ++i) {
    vms.push_back(make_vm("vm-" + std::to_string(i), {{"tier", i % 40 == 0 ? "web" : "other"}}));
  }
  for (auto _ : state) {
    PlaceDemand demand{.cpus = 2, .memory_mib = 4096};
    demand.cpu_model = "Nehalem";
    PlaceRule& place_rule = demand.rules.emplace_back(PlaceRule{.record = &rule});
    for (std::size_t i = 0; i < vms.size(); ++i) {
      if (covers(rule.spec(), vms[i])) add_other(place_rule, vms[i], cluster.records[i % kHosts]);
    }
    benchmark::DoNotOptimize(place(cluster.hosts, demand));
  }
}
BENCHMARK(place_one)->Unit(benchmark::kMillisecond);

}  // namespace
