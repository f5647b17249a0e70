// The view as policy/place.h wants it.
#pragma once

#include <string>
#include <vector>

#include "control/draft.h"
#include "control/view.h"
#include "policy/place.h"

namespace gantry::control {

// Whether guests on that host can use it.
bool reaches(const View& view, const std::string& host_id, const v1::Network& network);

// What a guest that uses it asks of its host. `before` stands before its name: "image web in ".
void add_reach(const View& view, const std::string& before, const v1::Pool& pool, policy::PlaceDemand& demand);
void add_reach(const View& view, const v1::Network& network, policy::PlaceDemand& demand);

// Without what `self` takes there, which is a VM that may have been placed before.
policy::PlaceHost place_host(const View& view, const v1::Host& host, const v1::Vm& self);
std::vector<policy::PlaceHost> place_hosts(const View& view, const v1::Vm& self);

// The rules that cover the VM. With `running`, of the other VMs only those that run count, else all that have a place.
std::vector<policy::PlaceRule> place_rules(const View& view, const v1::Vm& vm, bool running);

// What its spec asks of a host, without reach and rules.
policy::PlaceDemand make_demand(const v1::VmSpec& spec);
// What a VM on record that runs asks of a host to go on there, beside what it has on storage.
policy::PlaceDemand move_demand(const View& view, const v1::Vm& vm);
// All that a VM that is on record asks of a host.
policy::PlaceDemand demand_of(const View& view, const v1::Vm& vm, bool running);

// The pool that keeps the VM's lease: where its disks are, or what it boots from; empty: none that stays the same.
std::string lease_pool(const Draft& draft, const v1::VmSpec& spec);

// Why the VM cannot be started on the host it is on; empty: it can.
std::string start_obstacle(const View& view, const v1::Vm& vm);

// What VmPlacement.cpu_model is to be: what the VM asks for, else the best that all hosts have which it could ever run
// on, and that of `host_id`, which it is on, else, where that is one host alone or they have none in common, empty.
std::string choose_cpu_model(const View& view, const policy::PlaceDemand& demand, const std::string& host_id);

}  // namespace gantry::control
