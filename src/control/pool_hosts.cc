#include "control/pool_hosts.h"

#include <algorithm>
#include <set>

namespace gantry::control {

bool has_pool(const View& view, const std::string& host_id, const v1::Pool& pool) {
  const v1::PoolSpec& spec = pool.spec();
  if (host_id.empty()) return false;
  if (!spec.shared()) return spec.host_id() == host_id;
  if (view.find<v1::Host>(host_id) == nullptr) return false;
  return spec.hosts().empty() || std::find(spec.hosts().begin(), spec.hosts().end(), host_id) != spec.hosts().end();
}

std::vector<std::string> hosts_of_pool(const View& view, const v1::Pool& pool) {
  if (!pool.spec().shared()) return {pool.spec().host_id()};
  std::vector<std::string> hosts;
  if (pool.spec().hosts().empty()) {
    for (const auto& [id, host] : view.all<v1::Host>().by_id) hosts.push_back(id);
    return hosts;
  }
  for (const std::string& id : std::set<std::string>(pool.spec().hosts().begin(), pool.spec().hosts().end())) {
    if (view.find<v1::Host>(id) != nullptr) hosts.push_back(id);
  }
  return hosts;
}

std::vector<std::string> pools_of_host(const View& view, const std::string& host_id) {
  std::vector<std::string> pools = view.users_of_kind<v1::Pool>(host_id);
  if (view.find<v1::Host>(host_id) == nullptr) return pools;
  const auto everywhere = view.users_of_kind<v1::Pool>(std::string(kEveryHost));
  pools.insert(pools.end(), everywhere.begin(), everywhere.end());
  std::sort(pools.begin(), pools.end());
  return pools;
}

const v1::PoolOnHost* pool_on_host(const v1::Pool& pool, const std::string& host_id) {
  for (const v1::PoolOnHost& there : pool.status().hosts()) {
    if (there.host_id() == host_id) return &there;
  }
  return nullptr;
}

std::string pool_obstacle(const v1::Pool& pool, const std::string& host_id) {
  const v1::PoolOnHost* there = pool_on_host(pool, host_id);
  if (there == nullptr || there->state() != v1::PoolStatus::FAILED) return {};
  const v1::Problem& problem = there->problem();
  if (!problem.cause().empty()) return problem.cause();
  return problem.summary().empty() ? "it did not say why" : problem.summary();
}

bool was_ready(const v1::Pool& pool) {
  return pool.status().state() == v1::PoolStatus::READY || pool.status().capacity_bytes() != 0;
}

std::string maker_of(const v1::Pool& pool) {
  if (!pool.spec().shared() || was_ready(pool) || pool.status().hosts().empty()) return {};
  return pool.status().hosts(0).host_id();
}

std::string pool_text(const View& view, const v1::Pool& pool) {
  if (pool.spec().shared()) return "shared pool " + pool.meta().name();
  const auto* host = view.find<v1::Host>(pool.spec().host_id());
  return "pool " + pool.meta().name() + " on host " + (host != nullptr ? host->meta().name() : pool.spec().host_id());
}

}  // namespace gantry::control
