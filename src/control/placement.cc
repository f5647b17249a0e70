#include "control/placement.h"

#include "control/pool_hosts.h"
#include "control/segments.h"
#include "control/vm_hosts.h"
#include "model/network_kinds.h"
#include "model/state.h"
#include "policy/cpu_models.h"

namespace gantry::control {
namespace {

void add_place(const View& view, const v1::Vm& other, const v1::Vm& self, bool running, policy::PlaceRule& rule) {
  if (other.meta().id() == self.meta().id() || (running && !model::holds_memory(other))) return;
  for (const std::string& host_id : {other.placement().host_id(), other.placement().move().host_id()}) {
    const auto* host = view.find<v1::Host>(host_id);
    if (host != nullptr) policy::add_other(rule, other, *host);
  }
}

// Lists are short; labels have to be looked for among all.
void add_others(const View& view, const v1::Vm& self, bool running, policy::PlaceRule& rule) {
  const v1::RuleSpec& spec = rule.record->spec();
  if (policy::is_about_hosts(spec)) return;
  if (spec.vm_labels().empty()) {
    for (const std::string& id : spec.vms()) {
      if (const auto* other = view.find<v1::Vm>(id)) add_place(view, *other, self, running, rule);
    }
    return;
  }
  for (const auto& [id, other] : view.all<v1::Vm>().by_id) {
    if (policy::covers(spec, other)) add_place(view, other, self, running, rule);
  }
}

void add_network_reach(const View& view, const v1::VmSpec& spec, policy::PlaceDemand& demand) {
  for (const v1::VmNic& nic : spec.nics()) {
    const auto* network = view.find<v1::Network>(nic.network());
    if (network != nullptr) add_reach(view, *network, demand);
  }
}

// Volumes and image, as far as they are on record.
void add_storage_reach(const View& view, const v1::VmSpec& spec, policy::PlaceDemand& demand) {
  const auto add_pool = [&](const std::string& before, const std::string& pool_id) {
    if (const auto* pool = view.find<v1::Pool>(pool_id)) add_reach(view, before, *pool, demand);
  };
  if (const auto* image = view.find<v1::Image>(spec.image())) {
    add_pool("image " + image->meta().name() + " in ", image->spec().pool());
  }
  for (const v1::VmDisk& disk : spec.disks()) {
    const auto* volume = view.find<v1::Volume>(disk.volume());
    if (volume != nullptr) add_pool("volume " + volume->meta().name() + " in ", volume->spec().pool());
  }
}

}  // namespace

bool reaches(const View&, const std::string& host_id, const v1::Network& network) {
  if (!model::spans_hosts(network)) return network.status().host_id() == host_id;
  const auto* there = find_on_host(network, host_id);
  return there != nullptr && there->state() != v1::NetworkStatus::FAILED;
}

void add_reach(const View& view, const std::string& before, const v1::Pool& pool, policy::PlaceDemand& demand) {
  const std::string name = "pool " + pool.meta().name();
  const auto hosts = hosts_of_pool(view, pool);
  policy::PlaceReach reach{.reason = before + name + " is not on it", .host_ids = {hosts.begin(), hosts.end()}};
  for (const v1::PoolOnHost& there : pool.status().hosts()) {
    if (there.state() != v1::PoolStatus::FAILED || !reach.host_ids.contains(there.host_id())) continue;
    demand.trouble.emplace(there.host_id(),
                           "it cannot use " + name + ": see \"gantry pool show " + pool.meta().name() + "\"");
  }
  demand.reach.push_back(std::move(reach));
}

void add_reach(const View& view, const v1::Network& network, policy::PlaceDemand& demand) {
  policy::PlaceReach reach{.reason = "network " + network.meta().name() + " is not on it", .host_ids = {}};
  for (const auto& [id, host] : view.all<v1::Host>().by_id) {
    if (reaches(view, id, network)) reach.host_ids.insert(id);
  }
  demand.reach.push_back(std::move(reach));
}

policy::PlaceHost place_host(const View& view, const v1::Host& host, const v1::Vm& self) {
  const std::string& id = host.meta().id();
  policy::PlaceHost place{.record = &host,
                          .reserved_mib = view.reserved_mib(id),
                          .promised_cpus = view.promised_cpus(id),
                          .guests = view.guests(id),
                          .cpu_overcommit = view.cpu_overcommit};
#ifdef GANTRY_BREAK_COUNT_ELSEWHERE
  // A defect for the simulator to catch: what one host's guests hold is counted for all.
  const std::string& first = view.all<v1::Host>().by_id.begin()->first;
  place.reserved_mib = view.reserved_mib(first);
  if (id != first) return place;
#endif
  const auto* before = view.find<v1::Vm>(self.meta().id());
  if (before == nullptr || !holds_memory_on(*before, id)) return place;
  place.reserved_mib -= before->spec().memory_mib();
  place.promised_cpus -= before->spec().cpus();
  place.guests -= 1;
  return place;
}

std::vector<policy::PlaceHost> place_hosts(const View& view, const v1::Vm& self) {
  std::vector<policy::PlaceHost> hosts;
  hosts.reserve(view.all<v1::Host>().by_id.size());
  for (const auto& [id, host] : view.all<v1::Host>().by_id) hosts.push_back(place_host(view, host, self));
  return hosts;
}

std::vector<policy::PlaceRule> place_rules(const View& view, const v1::Vm& vm, bool running) {
  std::vector<policy::PlaceRule> rules;
  // By name, so that of several reasons it is always the same one that is told.
  for (const auto& [name, id] : view.all<v1::Rule>().id_by_name) {
    const auto* record = view.find<v1::Rule>(id);
    if (record == nullptr || !policy::covers(record->spec(), vm)) continue;
    add_others(view, vm, running, rules.emplace_back(policy::PlaceRule{.record = record}));
  }
  return rules;
}

policy::PlaceDemand make_demand(const v1::VmSpec& spec) {
  policy::PlaceDemand demand{.cpus = spec.cpus(), .memory_mib = spec.memory_mib(), .host_id = spec.host()};
  demand.cpu_model = spec.cpu_model();
  demand.tpm = spec.tpm();
  demand.host_labels = {spec.host_labels().begin(), spec.host_labels().end()};
  return demand;
}

policy::PlaceDemand move_demand(const View& view, const v1::Vm& vm) {
  policy::PlaceDemand demand = make_demand(vm.spec());
  add_network_reach(view, vm.spec(), demand);
  demand.rules = place_rules(view, vm, true);
  return demand;
}

policy::PlaceDemand demand_of(const View& view, const v1::Vm& vm, bool running) {
  policy::PlaceDemand demand = make_demand(vm.spec());
  add_storage_reach(view, vm.spec(), demand);
  add_network_reach(view, vm.spec(), demand);
  demand.rules = place_rules(view, vm, running);
  return demand;
}

std::string lease_pool(const Draft& draft, const v1::VmSpec& spec) {
  if (!spec.lease_pool().empty()) return spec.lease_pool();
  if (spec.disks_size() > 0) {
    const auto* volume = draft.find<v1::Volume>(spec.disks(0).volume());
    return volume == nullptr ? std::string() : volume->spec().pool();
  }
  const auto* image = draft.find<v1::Image>(spec.image());
  return image == nullptr ? std::string() : image->spec().pool();
}

std::string start_obstacle(const View& view, const v1::Vm& vm) {
  const auto* host = view.find<v1::Host>(vm.placement().host_id());
  if (host == nullptr) return {};
  return policy::start_obstacle(place_host(view, *host, vm), demand_of(view, vm, true));
}

std::string choose_cpu_model(const View& view, const policy::PlaceDemand& demand, const std::string& host_id) {
  if (!demand.cpu_model.empty()) return demand.cpu_model;
  std::vector<const v1::Host*> hosts;
  for (const auto& [id, host] : view.all<v1::Host>().by_id) {
    // A host that could not tell its models is not to take those of all others away. What was changed since may forbid
    // the VM the host it is on, but it is booted there.
    const bool is_possible = !host.meta().has_deletion() && !host.status().cpu_models().empty() &&
                             policy::standing_obstacle(host, demand).empty();
    if (is_possible || id == host_id) hosts.push_back(&host);
  }
  return hosts.size() < 2 ? std::string() : policy::best_common_cpu_model(hosts);
}

}  // namespace gantry::control
