#include "control/host_records.h"

#include "base/id.h"
#include "control/change.h"
#include "control/placement.h"
#include "control/pool_hosts.h"
#include "control/segments.h"
#include "control/shared_pools.h"
#include "control/subnets.h"
#include "control/vm_hosts.h"
#include "model/bridge_name.h"
#include "model/names.h"
#include "model/state.h"

namespace gantry::control {
namespace {

// `wanted`, or with a number when another record of that kind has it.
template <class Record>
std::string free_name(const Draft& draft, const std::string& wanted) {
  std::string name = wanted;
  for (int n = 2; draft.has_name<Record>(name); ++n) name = model::name_with_suffix(wanted, "-" + std::to_string(n));
  return name;
}

void fill_meta(v1::Meta& meta, std::string id, std::string name, Now now) {
  meta.set_id(std::move(id));
  meta.set_name(std::move(name));
  set_time(*meta.mutable_created_at(), now.unix_ms);
  meta.set_generation(1);
  meta.set_schema_version(kSchemaVersion);
}

void make_pool(Draft& draft, const NewHost& host, const std::string& name, Now now, Rng& rng) {
  v1::Pool pool;
  fill_meta(*pool.mutable_meta(), make_id(Kind<v1::Pool>::id_prefix, rng), free_name<v1::Pool>(draft, name), now);
  pool.mutable_spec()->set_host_id(host.id);
  pool.mutable_spec()->set_path(host.pool_path);
  draft.create(std::move(pool));
}

// False when every segment there is to choose is taken.
bool make_network(Draft& draft, const NewHost& host, const std::string& name, Now now, Rng& rng) {
  auto subnet = choose_subnet(draft.view(), {}, host.taken_subnets);
  if (!subnet) return false;
  v1::Network network;
  fill_meta(*network.mutable_meta(), make_id(Kind<v1::Network>::id_prefix, rng), free_name<v1::Network>(draft, name),
            now);
  network.mutable_spec()->set_ipv4_subnet(*subnet);
  network.mutable_spec()->set_bridge(model::bridge_name(network.meta().id()));
  network.mutable_spec()->set_domain(std::string(model::kDefaultDomain));
  network.mutable_status()->set_state(v1::NetworkStatus::PENDING);
  network.mutable_status()->set_host_id(host.id);
  draft.create(std::move(network));
  return true;
}

v1::Host& make_record(Draft& draft, const NewHost& host, v1::HostStatus::State state, Now now) {
  v1::Host record;
  fill_meta(*record.mutable_meta(), host.id, free_name<v1::Host>(draft, model::to_name(host.name)), now);
  record.mutable_status()->set_state(state);
  set_time(*record.mutable_status()->mutable_last_seen_at(), now.unix_ms);
  return draft.create(std::move(record));
}

// One transaction must hold them all, with their names.
constexpr std::size_t kErasedAtOnce = 40;

// Whether any that use that record are left. With `lost` those that are going do not stay.
template <class Record>
bool any_left(Draft& draft, const std::string& used_id, bool lost) {
  bool left = false;
  for (const std::string& id : draft.view().users_of_kind<Record>(used_id)) {
    const Record* record = draft.find<Record>(id);
    if (record == nullptr) continue;
    if (lost && is_going(draft, *record) && draft.changes() < kErasedAtOnce) {
      draft.erase<Record>(id);
    } else {
      left = true;
    }
  }
  return left;
}

// A host that has that shared pool and is not going, rather one that is connected; "": none.
std::string other_host_of(const Draft& draft, const v1::Pool& pool) {
  std::string other;
  for (const std::string& id : hosts_of_pool(draft.view(), pool)) {
    const auto* host = draft.find<v1::Host>(id);
    if (host == nullptr || host->meta().has_deletion()) continue;
    if (host->status().state() == v1::HostStatus::CONNECTED) return id;
    other = id;
  }
  return other;
}

// Nobody else has the lease of a VM that was given up with its host. In a shared pool another host takes it away, with
// what the TPM kept: the one that it was to move to does so as it leaves that.
void leave_lease(const Draft& draft, v1::VmPlacement& placement, const std::string& pool_id) {
  const auto* pool = draft.find<v1::Pool>(pool_id);
  if (pool == nullptr || !pool->spec().shared() || placement.has_move()) return;
  if (const std::string other = other_host_of(draft, *pool); !other.empty()) leave_host(placement, other, pool_id);
}

// Whether VMs are left that have to do with the host. With `lost` those that are going do not stay, but for what others
// have of them, and of those that left it nothing is waited for any more. Whose the guest of a move is only its source
// knows: that is waited for in any case.
bool any_vm_left(Draft& draft, const std::string& host_id, bool lost) {
  bool left = false;
  for (const std::string& id : draft.view().users_of_kind<v1::Vm>(host_id)) {
    const auto* vm = draft.find<v1::Vm>(id);
    if (vm == nullptr) continue;
    if (!lost || draft.changes() >= kErasedAtOnce) {
      left = true;
      continue;
    }
    const bool gives_up = is_going(draft, *vm) && vm->placement().host_id() == host_id;
    const v1::LeftHost* had = find_left(*vm, host_id);
    const std::string abandoned = gives_up ? lease_pool(draft, vm->spec()) : had != nullptr ? had->lease_pool() : "";
    v1::Vm next = *vm;
    forget_left(*next.mutable_placement(), host_id);
    if (gives_up) {
      next.mutable_placement()->clear_host_id();
      next.mutable_spec()->clear_host();
    }
    leave_lease(draft, *next.mutable_placement(), abandoned);
    if (gives_up && hosts_of(next).empty()) {
      draft.erase<v1::Vm>(id);
      continue;
    }
    left = left || hosts_of(next).contains(host_id) || next.spec().host() == host_id;
    if (to_bytes(next) != to_bytes(*vm)) draft.edit<v1::Vm>(id) = std::move(next);
  }
  return left;
}

// What goes with VMs that are given up where they are: another host takes it away.
void delete_shared_volumes(Draft& draft, const std::string& host_id, Now now) {
  for (const std::string& vm_id : draft.view().users_of_kind<v1::Vm>(host_id)) {
    const auto* vm = draft.find<v1::Vm>(vm_id);
    if (vm == nullptr || !vm->meta().has_deletion() || vm->placement().host_id() != host_id) continue;
    const std::string task_id = vm->meta().deletion().task_id();
    for (const std::string& id : draft.view().users_of_kind<v1::Volume>(vm_id)) {
      const auto* volume = draft.find<v1::Volume>(id);
      const auto* pool = volume == nullptr ? nullptr : draft.find<v1::Pool>(volume->spec().pool());
      if (pool == nullptr || !pool->spec().shared() || volume->meta().has_deletion()) continue;
      if (volume->spec().owner_vm_id() != vm_id) continue;
      set_deletion(*draft.edit<v1::Volume>(id).mutable_meta(), task_id, now);
    }
  }
}

}  // namespace

bool is_going(const Draft& draft, const v1::Volume& volume) {
  if (volume.meta().has_deletion()) return true;
  if (volume.spec().owner_vm_id().empty()) return false;
  const auto* vm = draft.find<v1::Vm>(volume.spec().owner_vm_id());
  return vm == nullptr || vm->meta().has_deletion();
}

bool is_empty_pool(Draft& draft, const std::string& pool_id) {
  return !any_left<v1::Volume>(draft, pool_id, false) && !any_left<v1::Image>(draft, pool_id, false);
}

bool has_ended(const v1::HostToken& token, Now now) { return time_of(token.expires_at()) <= now.unix_ms; }

void make_own_host(Draft& draft, const NewHost& host, Now now, Rng& rng) {
  const bool first = draft.view().all<v1::Host>().by_id.empty();
  make_record(draft, host, v1::HostStatus::CONNECTED, now);
  expect_all_on_host(draft, host.id);
  draft.guard();
  if (!first || !draft.view().all<v1::Pool>().by_id.empty() || !draft.view().all<v1::Network>().by_id.empty()) return;
  const std::string name(model::kDefaultName);
  make_pool(draft, host, name, now, rng);
  (void)make_network(draft, host, name, now, rng);
}

JoinedHost make_joined_host(Draft& draft, const NewHost& host, Now now, Rng& rng) {
  const v1::Host& record = make_record(draft, host, v1::HostStatus::LOST, now);
  expect_all_on_host(draft, host.id);
  const std::string name = model::to_name(std::string(model::kDefaultName) + "-" + record.meta().name());
  make_pool(draft, host, name, now, rng);
  return {record, make_network(draft, host, name, now, rng)};
}

void finish_leaving(Draft& draft, const std::string& host_id, bool lost, Now now) {
  if (lost) delete_shared_volumes(draft, host_id, now);
  bool left = any_vm_left(draft, host_id, lost);
  for (const std::string& id : draft.view().users_of_kind<v1::Pool>(host_id)) {
    const auto* pool = draft.find<v1::Pool>(id);
    if (pool == nullptr || pool->spec().shared()) continue;
    const bool volumes_left = any_left<v1::Volume>(draft, id, lost);
    const bool images_left = any_left<v1::Image>(draft, id, lost);
    // What is in it is found by it.
    if (lost && is_going(draft, *pool) && !volumes_left && !images_left) {
      draft.erase<v1::Pool>(id);
    } else {
      left = true;
    }
  }
  left = any_left<v1::Network>(draft, host_id, lost) || left;
  if (lost) forget_on_host(draft, host_id);
  if (left || is_left_on_host(draft, host_id)) return;
  forget_host_in_pools(draft, host_id);
  draft.erase<v1::Host>(host_id);
}

}  // namespace gantry::control
