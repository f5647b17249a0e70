#include "control/assignments.h"

#include <algorithm>
#include <map>
#include <set>

#include "control/copied_disks.h"
#include "control/move_storage.h"
#include "control/pool_hosts.h"
#include "control/segments.h"
#include "control/vm_hosts.h"
#include "model/conceal.h"
#include "model/network_kinds.h"
#include "model/state.h"

namespace gantry::control {
namespace {

template <class Record>
const v1::Pool* pool_of(const View& view, const Record& record) {
  return view.find<v1::Pool>(record.spec().pool());
}

// The pool's host; of a shared pool its keeper.
template <class Record>
std::string host_in_pool(const View& view, const Record& record) {
  const auto* pool = pool_of(view, record);
  if (pool == nullptr) return {};
  return pool->spec().shared() ? record.keeper().host_id() : pool->spec().host_id();
}

// The addresses of all NICs that have the group.
void add_members(const View& view, const std::string& group_id, v1::AssignedGroup& assigned) {
  for (const std::string& vm_id : view.users_of_kind<v1::Vm>(group_id)) {
    const auto* vm = view.find<v1::Vm>(vm_id);
    if (vm == nullptr) continue;
    for (const v1::VmNic& nic : vm->spec().nics()) {
      const auto& groups = nic.security_groups();
      const bool has_it = std::find(groups.begin(), groups.end(), group_id) != groups.end();
      if (has_it && !nic.ipv4().empty()) assigned.add_members(nic.ipv4());
    }
  }
}

// The groups of its NICs, and those that their rules name.
void add_groups(const View& view, const v1::Vm& vm, v1::Assignment& assignment) {
  std::set<std::string> own;
  std::set<std::string> named;
  for (const v1::VmNic& nic : vm.spec().nics()) own.insert(nic.security_groups().begin(), nic.security_groups().end());
  for (const std::string& id : own) {
    const auto* group = view.find<v1::SecurityGroup>(id);
    if (group == nullptr) continue;
    for (const v1::SecurityRule& rule : group->spec().rules()) {
      if (!rule.group().empty()) named.insert(rule.group());
    }
  }
  std::set<std::string> all = own;
  all.insert(named.begin(), named.end());
  for (const std::string& id : all) {
    const auto* group = view.find<v1::SecurityGroup>(id);
    if (group == nullptr) continue;
    v1::AssignedGroup& assigned = *assignment.add_groups();
    *assigned.mutable_group() = *group;
    if (!own.contains(id)) assigned.mutable_group()->clear_spec();
    if (named.contains(id)) add_members(view, id, assigned);
  }
}

void set(const View& view, const std::string& host_id, v1::Assignment& assignment, const v1::Vm& vm) {
  *assignment.mutable_vm() = seen_from(host_id, vm);
  add_groups(view, vm, assignment);
}
void set(const View&, const std::string&, v1::Assignment& assignment, const v1::Volume& volume) {
  *assignment.mutable_volume() = volume;
}
void set(const View&, const std::string&, v1::Assignment& assignment, const v1::Image& image) {
  *assignment.mutable_image() = image;
}
void set(const View&, const std::string&, v1::Assignment& assignment, const v1::Network& network) {
  *assignment.mutable_network() = network;
}
// How the pool is on each host is nothing to the others, and long where there are many.
void set(const View&, const std::string&, v1::Assignment& assignment, const v1::Pool& pool) {
  *assignment.mutable_pool() = pool;
  assignment.mutable_pool()->mutable_status()->clear_hosts();
}

template <class Records>
std::string host_in(const Records& records, const View& view, const std::string& id) {
  if (const auto* vm = records.template find<v1::Vm>(id)) return host_of(view, *vm);
  if (const auto* volume = records.template find<v1::Volume>(id)) return host_of(view, *volume);
  if (const auto* image = records.template find<v1::Image>(id)) return host_of(view, *image);
  if (const auto* network = records.template find<v1::Network>(id)) return host_of(view, *network);
  if (const auto* pool = records.template find<v1::Pool>(id)) return host_of(view, *pool);
  return {};
}

using Hosts = std::set<std::string>;

void add(Hosts& hosts, const std::string& host_id) {
  if (!host_id.empty()) hosts.insert(host_id);
}

// Where the VM is, or is on its way to.
void add_hosts_of(const v1::Vm& vm, Hosts& hosts) {
  add(hosts, vm.placement().host_id());
  add(hosts, vm.placement().move().host_id());
}

template <class Used>
void add_hosts_of_vms(const View& view, const Used& used, Hosts& hosts) {
  for (const std::string& id : view.users_of_kind<v1::Vm>(used.meta().id())) {
    if (const auto* vm = view.find<v1::Vm>(id)) add_hosts_of(*vm, hosts);
  }
}

// Of a shared pool: the hosts that are told of it. The one that spoke of it last may have kept it until now.
template <class Record>
void keep_those_with_pool(const View& view, const Record& record, const v1::Pool& pool, Hosts& hosts) {
  add(hosts, record.keeper().host_id());
  add(hosts, record.status().host_id());
  std::erase_if(hosts, [&](const std::string& host_id) { return !has_pool(view, host_id, pool); });
}

// An image that goes while something is left that was made from it: its keeper does not know of what others keep.
bool is_held_up(const View& view, const v1::Image& image) {
  const auto* pool = pool_of(view, image);
  if (pool == nullptr || !pool->spec().shared() || !image.meta().has_deletion()) return false;
  const std::string& id = image.meta().id();
  return !view.users_of_kind<v1::Volume>(id).empty() || !view.users_of_kind<v1::Vm>(id).empty();
}
template <class Record>
bool is_held_up(const View&, const Record&) {
  return false;
}

Hosts told_of(const View&, const v1::Vm& vm) { return hosts_of(vm); }
Hosts told_of(const View& view, const v1::Network& network) { return {host_of(view, network)}; }

Hosts told_of(const View& view, const v1::Volume& volume) {
  const auto* pool = pool_of(view, volume);
  if (pool == nullptr || !pool->spec().shared()) return {host_of(view, volume)};
  Hosts hosts;
  add_hosts_of_vms(view, volume, hosts);
  keep_those_with_pool(view, volume, *pool, hosts);
  return hosts;
}

Hosts told_of(const View& view, const v1::Image& image) {
  const auto* pool = pool_of(view, image);
  if (pool == nullptr || !pool->spec().shared()) return {host_of(view, image)};
  Hosts hosts;
  add_hosts_of_vms(view, image, hosts);
  for (const std::string& id : view.users_of_kind<v1::Volume>(image.meta().id())) {
    if (const auto* volume = view.find<v1::Volume>(id)) hosts.merge(told_of(view, *volume));
  }
  keep_those_with_pool(view, image, *pool, hosts);
  return hosts;
}

bool is_connected(const View& view, const std::string& host_id) {
  const auto* host = view.find<v1::Host>(host_id);
  return host != nullptr && host->status().state() == v1::HostStatus::CONNECTED;
}

// A pool that goes is told to those that can take away what says whose directory it is. One that was never made does
// not wait for a maker that is gone.
Hosts told_of(const View& view, const v1::Pool& pool) {
  const bool goes = pool.meta().has_deletion();
  const std::string maker = maker_of(pool);
  if (!maker.empty() && (!goes || is_connected(view, maker))) return {maker};
  Hosts able;
  if (goes) {
    for (const v1::PoolOnHost& there : pool.status().hosts()) {
      const bool ready = there.state() == v1::PoolStatus::READY && has_pool(view, there.host_id(), pool);
      if (ready && is_connected(view, there.host_id())) able.insert(there.host_id());
    }
  }
  if (!able.empty()) return able;
  const auto all = hosts_of_pool(view, pool);
  return {all.begin(), all.end()};
}

// As told_of() has it, without looking at all hosts for each: every host asks.
bool is_told(const View& view, const std::string& host_id, const v1::Pool& pool) {
  if (!pool.meta().has_deletion() && maker_of(pool).empty()) return has_pool(view, host_id, pool);
  return told_of(view, pool).contains(host_id);
}

template <class Record>
bool only_looks(const View& view, const std::string& host_id, const Record& record) {
  const auto* pool = pool_of(view, record);
  return pool != nullptr && pool->spec().shared() && record.keeper().host_id() != host_id;
}
bool only_looks(const View&, const std::string&, const v1::Vm&) { return false; }
bool only_looks(const View&, const std::string&, const v1::Network&) { return false; }
bool only_looks(const View&, const std::string&, const v1::Pool&) { return false; }

// How its target is reached and convinced is for the source of a move alone.
void keep_from_others(const std::string& host_id, v1::Assignment& assignment) {
  if (!assignment.has_vm() || assignment.vm().placement().host_id() == host_id) return;
  model::conceal(*assignment.mutable_vm());
}

template <class Record>
v1::Assignment assignment_of(const View& view, const std::string& host_id, const Record& record) {
  v1::Assignment assignment;
  assignment.set_look_only(only_looks(view, host_id, record));
  set(view, host_id, assignment, record);
  keep_from_others(host_id, assignment);
  return assignment;
}

// The images and volumes of shared pools that a VM, or a volume, is nothing without.
struct Needs {
  std::set<std::string> images;
  std::set<std::string> volumes;
};

void add_needs(const View& view, const v1::Volume& volume, Needs& needs) {
  const auto* image = view.find<v1::Image>(volume.spec().image());
  const auto* pool = image == nullptr ? nullptr : pool_of(view, *image);
  if (pool != nullptr && pool->spec().shared()) needs.images.insert(image->meta().id());
}

void add_needs(const View& view, const std::string& volume_id, Needs& needs) {
  const auto* volume = view.find<v1::Volume>(volume_id);
  const auto* pool = volume == nullptr ? nullptr : pool_of(view, *volume);
  if (pool == nullptr) return;
  add_needs(view, *volume, needs);
  if (pool->spec().shared()) needs.volumes.insert(volume->meta().id());
}

void add_needs(const View& view, const v1::Vm& vm, Needs& needs) {
  if (const auto* image = view.find<v1::Image>(vm.spec().image())) {
    const auto* pool = pool_of(view, *image);
    if (pool != nullptr && pool->spec().shared()) needs.images.insert(image->meta().id());
  }
  for (const v1::VmDisk& disk : vm.spec().disks()) add_needs(view, disk.volume(), needs);
  for (const v1::CopiedDisk& disk : copied_disks(vm)) add_needs(view, disk.copy(), needs);
}

template <class Record>
void add_needs(const View&, const Record&, Needs&) {}

template <class Record>
void add_with_pool(const View& view, const std::string& host_id, const std::set<std::string>& ids,
                   std::vector<v1::Assignment>& assignments) {
  for (const std::string& id : ids) {
    const Record* record = view.find<Record>(id);
    const auto* pool = record == nullptr ? nullptr : pool_of(view, *record);
    if (pool != nullptr && has_pool(view, host_id, *pool) && !is_held_up(view, *record)) {
      assignments.push_back(assignment_of(view, host_id, *record));
    }
  }
}

template <class Record>
bool route_kind(const View& view, const std::string& id, std::vector<Routed>& routed) {
  const Record* record = view.find<Record>(id);
  if (record == nullptr) return false;
  if (is_held_up(view, *record)) return true;
  Needs needs;
  if (!model::is_converged(*record)) add_needs(view, *record, needs);
  for (const std::string& host_id : told_of(view, *record)) {
    if (host_id.empty()) continue;
    std::vector<v1::Assignment> assignments;
    add_with_pool<v1::Image>(view, host_id, needs.images, assignments);
    add_with_pool<v1::Volume>(view, host_id, needs.volumes, assignments);
    assignments.push_back(assignment_of(view, host_id, *record));
    for (v1::Assignment& one : assignments) routed.push_back({.host_id = host_id, .assignment = std::move(one)});
  }
  return true;
}

// Something is left to do for it there, be it that it goes.
bool is_open_on_host(const View& view, const v1::Network& network, const std::string& host_id) {
  const auto* host = view.find<v1::Host>(host_id);
  const bool goes = network.meta().has_deletion() || (host != nullptr && host->meta().has_deletion());
  return goes || !is_settled_on_host(network, host_id);
}

// To all that have something to do for it, or NICs in it.
std::vector<Routed> route_segment(const View& view, const v1::Network& network) {
  std::vector<Routed> all;
  for (const v1::NetworkOnHost& entry : network.status().hosts()) {
    const std::string& host_id = entry.host_id();
    if (!is_open_on_host(view, network, host_id) && !has_nic_on(view, network, host_id)) continue;
    auto assignment = segment_assignment(view, network, host_id);
    if (assignment) all.push_back({.host_id = host_id, .assignment = std::move(*assignment)});
  }
  return all;
}

void add_segments(const View& view, const std::string& host_id, bool only_open,
                  std::vector<v1::Assignment>& assignments) {
  for (const std::string& id : view.segments()) {
    const auto* network = view.find<v1::Network>(id);
    if (network == nullptr || (only_open && !is_open_on_host(view, *network, host_id))) continue;
    auto assignment = segment_assignment(view, *network, host_id);
    if (assignment) assignments.push_back(std::move(*assignment));
  }
}

// Everything of one host, gathered by id.
class HostRecords {
 public:
  HostRecords(const View& view, const std::string& host_id, bool only_open)
      : view_(view), host_id_(host_id), only_open_(only_open) {}

  std::vector<v1::Assignment> assignments() {
    gather();
    std::vector<v1::Assignment> assignments;
    for (const std::string& id : pools_of_host(view_, host_id_)) {
      const auto* pool = view_.find<v1::Pool>(id);
      if (pool == nullptr || (only_open_ && model::is_converged(*pool))) continue;
      if (is_told(view_, host_id_, *pool)) add_one(*pool, assignments);
    }
    for (const std::string& id : view_.users_of_kind<v1::Network>(host_id_)) add_if_own<v1::Network>(id, assignments);
    add_segments(view_, host_id_, only_open_, assignments);
    for (const std::string& id : all_.images) add_if_there<v1::Image>(id, needed_.images, assignments);
    for (const std::string& id : all_.volumes) add_if_there<v1::Volume>(id, needed_.volumes, assignments);
    for (const std::string& id : view_.users_of_kind<v1::Vm>(host_id_)) {
      const auto* vm = view_.find<v1::Vm>(id);
      if (vm != nullptr && hosts_of(*vm).contains(host_id_)) add_one(*vm, assignments);
    }
    return assignments;
  }

 private:
  void gather() {
    add_users(host_id_);
    for (const std::string& pool_id : view_.users_of_kind<v1::Pool>(host_id_)) {
      const auto* pool = view_.find<v1::Pool>(pool_id);
      if (pool != nullptr && !pool->spec().shared()) add_users(pool_id);
    }
    for (const std::string& id : view_.users_of_kind<v1::Vm>(host_id_)) {
      const auto* vm = view_.find<v1::Vm>(id);
      Hosts hosts;
      if (vm != nullptr) add_hosts_of(*vm, hosts);
      if (!hosts.contains(host_id_)) continue;
      add_needs(view_, *vm, all_);
      if (!model::is_converged(*vm)) add_needs(view_, *vm, needed_);
    }
    for (const std::string& id : all_.volumes) {
      if (const auto* volume = view_.find<v1::Volume>(id)) add_needs(view_, *volume, all_);
    }
  }

  void add_users(const std::string& id) {
    for (std::string& user : view_.users_of_kind<v1::Image>(id)) all_.images.insert(std::move(user));
    for (std::string& user : view_.users_of_kind<v1::Volume>(id)) all_.volumes.insert(std::move(user));
  }

  template <class Record>
  void add_one(const Record& record, std::vector<v1::Assignment>& assignments) {
    if (only_open_ && model::is_converged(record)) return;
    assignments.push_back(assignment_of(view_, host_id_, record));
  }
  template <class Record>
  void add_if_own(const std::string& id, std::vector<v1::Assignment>& assignments) {
    const Record* record = view_.find<Record>(id);
    if (record != nullptr && host_of(view_, *record) == host_id_) add_one(*record, assignments);
  }
  template <class Record>
  void add_if_there(const std::string& id, const std::set<std::string>& needed,
                    std::vector<v1::Assignment>& assignments) {
    const Record* record = view_.find<Record>(id);
    const auto* pool = record == nullptr ? nullptr : pool_of(view_, *record);
    if (pool == nullptr || !has_pool(view_, host_id_, *pool) || is_held_up(view_, *record)) return;
    if (needed.contains(id)) {
      assignments.push_back(assignment_of(view_, host_id_, *record));
    } else {
      add_one(*record, assignments);
    }
  }

  const View& view_;
  const std::string& host_id_;
  bool only_open_;
  Needs all_;
  // By VMs that have not come to be as they should be.
  Needs needed_;
};

}  // namespace

std::string host_of(const View&, const v1::Vm& vm) { return vm.placement().host_id(); }
std::string host_of(const View& view, const v1::Volume& volume) { return host_in_pool(view, volume); }
std::string host_of(const View& view, const v1::Image& image) { return host_in_pool(view, image); }
std::string host_of(const View&, const v1::Network& network) { return network.status().host_id(); }
std::string host_of(const View&, const v1::Pool& pool) {
  return pool.spec().shared() ? std::string() : pool.spec().host_id();
}

std::string host_of_id(const View& view, const std::string& id) { return host_in(view, view, id); }
std::string host_of_id(const Draft& draft, const std::string& id) { return host_in(draft, draft.view(), id); }

bool may_tell_of(const View& view, const std::string& host_id, const std::string& id) {
  const auto* pool = view.find<v1::Pool>(id);
  if (pool != nullptr) return has_pool(view, host_id, *pool);
  const auto* network = view.find<v1::Network>(id);
  if (network != nullptr && model::spans_hosts(*network)) return find_on_host(*network, host_id) != nullptr;
  const auto* vm = view.find<v1::Vm>(id);
  if (vm != nullptr) return hosts_of(*vm).contains(host_id);
  return host_of_id(view, id) == host_id;
}

std::vector<Routed> route(const View& view, const std::string& id) {
  const auto* network = view.find<v1::Network>(id);
  if (network != nullptr && model::spans_hosts(*network)) return route_segment(view, *network);
  std::vector<Routed> routed;
  route_kind<v1::Vm>(view, id, routed) || route_kind<v1::Volume>(view, id, routed) ||
      route_kind<v1::Image>(view, id, routed) || route_kind<v1::Network>(view, id, routed) ||
      route_kind<v1::Pool>(view, id, routed);
  return routed;
}

std::vector<v1::Assignment> assignments_of(const View& view, const std::string& host_id, bool only_open) {
  return HostRecords(view, host_id, only_open).assignments();
}

}  // namespace gantry::control
