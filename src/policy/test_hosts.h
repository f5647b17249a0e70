// For tests of this room: hosts and VMs made of a few words.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "policy/place.h"

namespace gantry::policy {

using Words = std::map<std::string, std::string>;

inline v1::Host make_host(const std::string& id, std::uint64_t memory_mib, const Words& labels = {}) {
  v1::Host host;
  host.mutable_meta()->set_id(id);
  host.mutable_meta()->set_name("name-" + id);
  host.mutable_meta()->mutable_labels()->insert(labels.begin(), labels.end());
  host.mutable_status()->set_state(v1::HostStatus::CONNECTED);
  host.mutable_status()->set_memory_bytes(memory_mib << 20U);
  host.mutable_status()->set_cpus(8);
  host.mutable_status()->set_accelerator("tcg");
  return host;
}

inline v1::Vm make_vm(const std::string& id, const Words& labels = {}) {
  v1::Vm vm;
  vm.mutable_meta()->set_id(id);
  vm.mutable_meta()->set_name(id);
  vm.mutable_meta()->mutable_labels()->insert(labels.begin(), labels.end());
  return vm;
}

inline v1::Rule make_rule(const std::string& name, v1::RuleSpec::Kind kind, const std::vector<std::string>& vms = {},
                          const std::vector<std::string>& hosts = {}) {
  v1::Rule rule;
  rule.mutable_meta()->set_name(name);
  rule.mutable_spec()->set_kind(kind);
  rule.mutable_spec()->mutable_vms()->Assign(vms.begin(), vms.end());
  rule.mutable_spec()->mutable_hosts()->Assign(hosts.begin(), hosts.end());
  return rule;
}

// Hosts with what is promised there; they stay where they are.
struct Cluster {
  std::deque<v1::Host> records;
  std::vector<PlaceHost> hosts;

  PlaceHost& add(v1::Host host, std::uint64_t reserved_mib = 0) {
    records.push_back(std::move(host));
    return hosts.emplace_back(PlaceHost{.record = &records.back(), .reserved_mib = reserved_mib});
  }
  [[nodiscard]] PlaceHost* find(const std::string& id) {
    for (PlaceHost& host : hosts) {
      if (host.record->meta().id() == id) return &host;
    }
    return nullptr;
  }
};

inline const v1::PlacementCandidate* candidate_of(const v1::PlacementDecision& decision, const std::string& host_id) {
  for (const v1::PlacementCandidate& candidate : decision.candidates()) {
    if (candidate.host_id() == host_id) return &candidate;
  }
  return nullptr;
}

}  // namespace gantry::policy
