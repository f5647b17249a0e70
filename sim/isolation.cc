#include "sim/isolation.h"

#include <algorithm>

namespace gantry::sim {
namespace {

// The record's id, and the host that it names itself; volumes and images name a pool.
struct Told {
  std::string id;
  std::string host_id;
};

Told told_by(const Records& records, const v1::Assignment& assignment) {
  switch (assignment.record_case()) {
    case v1::Assignment::kVm: return {assignment.vm().meta().id(), assignment.vm().placement().host_id()};
    case v1::Assignment::kVolume:
      return {assignment.volume().meta().id(), records.home_of(assignment.volume().spec().pool())};
    case v1::Assignment::kImage:
      return {assignment.image().meta().id(), records.home_of(assignment.image().spec().pool())};
    case v1::Assignment::kNetwork: return {assignment.network().meta().id(), assignment.network().status().host_id()};
    case v1::Assignment::kPool: return {assignment.pool().meta().id(), assignment.pool().spec().host_id()};
    case v1::Assignment::RECORD_NOT_SET: break;
  }
  return {};
}

bool has_shared(const v1::Pool& pool, const std::string& host_id) {
  const auto& hosts = pool.spec().hosts();
  return hosts.empty() || std::ranges::find(hosts, host_id) != hosts.end();
}

// Of a shared pool: hosts that have it, and all but its keeper only look.
template <class Record>
bool may_hear_of(const Records& records, const std::string& host_id, const v1::Assignment& assignment,
                 const Record& record) {
  const auto pool = records.shared_pools.find(record.spec().pool());
  if (pool == records.shared_pools.end()) return false;
  return has_shared(pool->second, host_id) && (assignment.look_only() || record.keeper().host_id() == host_id);
}

bool may_hear_of_shared(const Records& records, const std::string& host_id, const v1::Assignment& assignment) {
  if (assignment.has_volume()) return may_hear_of(records, host_id, assignment, assignment.volume());
  if (assignment.has_image()) return may_hear_of(records, host_id, assignment, assignment.image());
  // Of a VM that is to come, or went.
  if (assignment.has_vm()) return records.concerns(assignment.vm().meta().id(), host_id);
  // A network on every host.
  if (assignment.has_network()) {
    const auto kind = assignment.network().spec().kind();
    return kind == v1::NetworkSpec::VLAN || kind == v1::NetworkSpec::OVERLAY;
  }
  return assignment.has_pool() && assignment.pool().spec().shared() && has_shared(assignment.pool(), host_id);
}

}  // namespace

void check_isolation(Stage& stage, const std::string& host_id, const v1::ToHost& message) {
  for (const v1::Assignment& assignment : message.assignments()) {
    const Told told = told_by(stage.records, assignment);
    const std::string home = stage.records.home_of(told.id);
    if (home == host_id && told.host_id == host_id) continue;
    if (may_hear_of_shared(stage.records, host_id, assignment)) continue;
    stage.trace.violation("host " + host_id + " is told of " + told.id +
                          ", which is none of its own: it is of host \"" + home + "\"");
  }
}

}  // namespace gantry::sim
