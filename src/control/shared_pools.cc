#include "control/shared_pools.h"

#include <algorithm>

#include "control/assignments.h"
#include "control/observations.h"
#include "control/pool_hosts.h"
#include "control/printable.h"

namespace gantry::control {
namespace {

v1::PoolOnHost& entry_of(v1::PoolStatus& status, const std::string& host_id) {
  auto& hosts = *status.mutable_hosts();
  for (v1::PoolOnHost& there : hosts) {
    if (there.host_id() == host_id) return there;
  }
  v1::PoolOnHost& added = *hosts.Add();
  added.set_host_id(host_id);
  std::sort(hosts.begin(), hosts.end(), [](const auto& a, const auto& b) { return a.host_id() < b.host_id(); });
  return *std::find_if(hosts.begin(), hosts.end(), [&](const auto& there) { return there.host_id() == host_id; });
}

bool is_usable_state(v1::PoolStatus::State state) {
  return state == v1::PoolStatus::READY || state == v1::PoolStatus::FAILED;
}

// Whether a connected host that has it has not told yet.
bool is_awaited(const View& view, const v1::Pool& pool, const v1::PoolStatus& status) {
  const std::string maker = maker_of(pool);
  for (const std::string& id : hosts_of_pool(view, pool)) {
    if (!maker.empty() && id != maker) continue;
    const auto* host = view.find<v1::Host>(id);
    if (host == nullptr || host->status().state() != v1::HostStatus::CONNECTED) continue;
    const bool told = std::any_of(status.hosts().begin(), status.hosts().end(), [&id](const v1::PoolOnHost& there) {
      return there.host_id() == id && is_usable_state(there.state());
    });
    if (!told) return true;
  }
  return false;
}

void add_up(const View& view, const v1::Pool& pool, v1::PoolStatus& status) {
  const v1::PoolOnHost* failed = nullptr;
  bool ready = false;
  for (const v1::PoolOnHost& there : status.hosts()) {
    ready = ready || there.state() == v1::PoolStatus::READY;
    if (failed == nullptr && there.state() == v1::PoolStatus::FAILED) failed = &there;
  }
  status.clear_problem();
  if (ready) {
    status.set_state(v1::PoolStatus::READY);
  } else if (failed == nullptr || is_awaited(view, pool, status)) {
    status.set_state(v1::PoolStatus::UNKNOWN);
  } else {
    status.set_state(v1::PoolStatus::FAILED);
    *status.mutable_problem() = failed->problem();
  }
}

void drop_strangers(const View& view, const v1::Pool& pool, v1::PoolStatus& status) {
  auto& hosts = *status.mutable_hosts();
  hosts.erase(std::remove_if(hosts.begin(), hosts.end(),
                             [&](const v1::PoolOnHost& there) { return !has_pool(view, there.host_id(), pool); }),
              hosts.end());
}

bool was_told(const View& view, const std::string& host_id, const std::string& pool_id) {
  const auto told = route(view, pool_id);
  return std::any_of(told.begin(), told.end(), [&](const Routed& to) { return to.host_id == host_id; });
}

// Each host goes on telling what it told first until that is off by a hundredth of the pool, so two of them may be
// twice that apart; neither brings news, and they would take turns for ever.
std::uint64_t steady(const v1::PoolStatus& before, std::uint64_t was_bytes, std::uint64_t told_bytes) {
  const std::uint64_t difference = was_bytes > told_bytes ? was_bytes - told_bytes : told_bytes - was_bytes;
  return before.capacity_bytes() == 0 || difference > before.capacity_bytes() / 50 ? told_bytes : was_bytes;
}

void take_room(const View& view, const v1::Pool& pool, const v1::PoolStatus& told, v1::PoolStatus& status) {
  const v1::PoolStatus& before = pool.status();
  // Without any it would pass for a pool that was never ready.
  status.set_capacity_bytes(std::max<std::uint64_t>(told.capacity_bytes(), 1));
  status.set_available_bytes(steady(before, before.available_bytes(), told.available_bytes()));
  status.set_allocation_bytes(steady(before, before.allocation_bytes(), told.allocation_bytes()));
  // No host knows of all that lies there.
  status.set_promised_bytes(view.promised_bytes(pool.meta().id()));
}

}  // namespace

void observe_shared_pool(Draft& draft, const std::string& host_id, const v1::ObservationMark& mark,
                         const v1::Observation& observation) {
  const std::string& id = observation.id();
  const auto* pool = draft.find<v1::Pool>(id);
  if (pool == nullptr) return;
  if (observation.absent()) {
    if (pool->meta().has_deletion() && was_told(draft.view(), host_id, id)) draft.erase<v1::Pool>(id);
    return;
  }
  const std::string maker = maker_of(*pool);
  if (!observation.has_pool() || (!maker.empty() && maker != host_id)) return;
  const v1::PoolOnHost* before = pool_on_host(*pool, host_id);
  if (before != nullptr && !is_newer(mark, before->observed())) return;
  v1::PoolStatus told = observation.pool();
  make_printable(told, {.bytes_max = kStatusTextBytesMax, .lines = model::Lines::several});
  v1::PoolStatus next = pool->status();
  drop_strangers(draft.view(), *pool, next);
  v1::PoolOnHost& there = entry_of(next, host_id);
  there.set_state(is_usable_state(told.state()) ? told.state() : v1::PoolStatus::UNKNOWN);
  there.clear_problem();
  if (told.has_problem()) *there.mutable_problem() = told.problem();
  if (there.state() == v1::PoolStatus::READY) take_room(draft.view(), *pool, told, next);
  add_up(draft.view(), *pool, next);
  if (to_bytes(next) == to_bytes(pool->status())) return;
  *entry_of(next, host_id).mutable_observed() = mark;
  *draft.edit<v1::Pool>(id).mutable_status() = std::move(next);
}

void forget_host_in_pools(Draft& draft, const std::string& host_id) {
  for (const std::string& id : pools_of_host(draft.view(), host_id)) {
    const auto* known = draft.find<v1::Pool>(id);
    if (known == nullptr || !known->spec().shared()) continue;
    v1::Pool& pool = draft.edit<v1::Pool>(id);
    auto& listed = *pool.mutable_spec()->mutable_hosts();
    listed.erase(std::remove(listed.begin(), listed.end(), host_id), listed.end());
    auto& there = *pool.mutable_status()->mutable_hosts();
    there.erase(std::remove_if(there.begin(), there.end(), [&](const auto& one) { return one.host_id() == host_id; }),
                there.end());
    add_up(draft.view(), pool, *pool.mutable_status());
  }
}

}  // namespace gantry::control
