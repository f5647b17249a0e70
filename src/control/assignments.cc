#include "control/assignments.h"

#include <algorithm>
#include <set>

#include "control/segments.h"
#include "model/network_kinds.h"
#include "model/state.h"

namespace gantry::control {
namespace {

std::string host_of_pool(const View& view, const std::string& pool_id) {
  const auto* pool = view.find<v1::Pool>(pool_id);
  return pool == nullptr ? std::string() : pool->spec().host_id();
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

void set(const View& view, v1::Assignment& assignment, const v1::Vm& vm) {
  *assignment.mutable_vm() = vm;
  add_groups(view, vm, assignment);
}
void set(const View&, v1::Assignment& assignment, const v1::Volume& volume) { *assignment.mutable_volume() = volume; }
void set(const View&, v1::Assignment& assignment, const v1::Image& image) { *assignment.mutable_image() = image; }
void set(const View&, v1::Assignment& assignment, const v1::Network& network) {
  *assignment.mutable_network() = network;
}
void set(const View&, v1::Assignment& assignment, const v1::Pool& pool) { *assignment.mutable_pool() = pool; }

template <class Record>
std::vector<Routed> route_kind(const View& view, const std::string& id) {
  const Record* record = view.find<Record>(id);
  if (record == nullptr) return {};
  const std::string host_id = host_of(view, *record);
  if (host_id.empty()) return {};
  Routed routed{.host_id = host_id, .assignment = {}};
  set(view, routed.assignment, *record);
  return {std::move(routed)};
}

// To all that have something to do for it, or NICs in it.
std::vector<Routed> route_segment(const View& view, const v1::Network& network) {
  std::vector<Routed> all;
  for (const v1::NetworkOnHost& entry : network.status().hosts()) {
    auto assignment = segment_assignment(view, network, entry.host_id());
    const bool open = !is_settled_on_host(network, entry.host_id());
    if (!assignment ||
        !(open || assignment->network().meta().has_deletion() || has_nic_on(view, network, entry.host_id())))
      continue;
    all.push_back({.host_id = entry.host_id(), .assignment = std::move(*assignment)});
  }
  return all;
}

void add_segments(const View& view, const std::string& host_id, bool only_open,
                  std::vector<v1::Assignment>& assignments) {
  for (const auto& [id, network] : view.all<v1::Network>().by_id) {
    if (!model::spans_hosts(network)) continue;
    auto assignment = segment_assignment(view, network, host_id);
    const bool open =
        assignment && (assignment->network().meta().has_deletion() || !is_settled_on_host(network, host_id));
    if (assignment && (open || !only_open)) assignments.push_back(std::move(*assignment));
  }
}

// Those of `user_id`'s users of that kind that are on the host.
template <class Record>
void add_users(const View& view, const std::string& user_id, const std::string& host_id, bool only_open,
               std::vector<v1::Assignment>& assignments) {
  for (const std::string& id : view.users_of_kind<Record>(user_id)) {
    const Record* record = view.find<Record>(id);
    if (record == nullptr || host_of(view, *record) != host_id) continue;
    if (only_open && model::is_converged(*record)) continue;
    set(view, assignments.emplace_back(), *record);
  }
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

}  // namespace

std::string host_of(const View&, const v1::Vm& vm) { return vm.placement().host_id(); }
std::string host_of(const View& view, const v1::Volume& volume) { return host_of_pool(view, volume.spec().pool()); }
std::string host_of(const View& view, const v1::Image& image) { return host_of_pool(view, image.spec().pool()); }
std::string host_of(const View&, const v1::Network& network) { return network.status().host_id(); }
std::string host_of(const View&, const v1::Pool& pool) { return pool.spec().host_id(); }

std::string host_of_id(const View& view, const std::string& id) { return host_in(view, view, id); }
std::string host_of_id(const Draft& draft, const std::string& id) { return host_in(draft, draft.view(), id); }

bool may_observe(const View& view, const std::string& host_id, const std::string& id) {
  const auto* network = view.find<v1::Network>(id);
  if (network != nullptr && model::spans_hosts(*network)) return find_on_host(*network, host_id) != nullptr;
  return host_of_id(view, id) == host_id;
}

std::vector<Routed> route(const View& view, const std::string& id) {
  if (view.find<v1::Vm>(id) != nullptr) return route_kind<v1::Vm>(view, id);
  if (view.find<v1::Volume>(id) != nullptr) return route_kind<v1::Volume>(view, id);
  if (view.find<v1::Image>(id) != nullptr) return route_kind<v1::Image>(view, id);
  const auto* network = view.find<v1::Network>(id);
  if (network != nullptr && model::spans_hosts(*network)) return route_segment(view, *network);
  if (network != nullptr) return route_kind<v1::Network>(view, id);
  return route_kind<v1::Pool>(view, id);
}

std::vector<v1::Assignment> assignments_of(const View& view, const std::string& host_id, bool only_open) {
  std::vector<v1::Assignment> assignments;
  add_users<v1::Pool>(view, host_id, host_id, only_open, assignments);
  add_users<v1::Network>(view, host_id, host_id, only_open, assignments);
  add_segments(view, host_id, only_open, assignments);
  const auto pools = view.users_of_kind<v1::Pool>(host_id);
  for (const std::string& pool : pools) add_users<v1::Image>(view, pool, host_id, only_open, assignments);
  for (const std::string& pool : pools) add_users<v1::Volume>(view, pool, host_id, only_open, assignments);
  add_users<v1::Vm>(view, host_id, host_id, only_open, assignments);
  return assignments;
}

}  // namespace gantry::control
