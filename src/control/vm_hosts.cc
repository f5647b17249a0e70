#include "control/vm_hosts.h"

#include <algorithm>

#include "model/state.h"

namespace gantry::control {

std::set<std::string> hosts_of(const v1::Vm& vm) {
  std::set<std::string> hosts = {vm.placement().host_id(), vm.placement().move().host_id()};
  for (const v1::LeftHost& left : vm.placement().left_hosts()) hosts.insert(left.host_id());
  hosts.erase("");
  return hosts;
}

bool moves_to(const v1::Vm& vm, const std::string& host_id) {
  return vm.placement().has_move() && vm.placement().move().host_id() == host_id;
}

bool holds_memory_on(const v1::Vm& vm, const std::string& host_id) {
  if (vm.placement().host_id() == host_id) return model::holds_memory(vm);
  return moves_to(vm, host_id) || find_left(vm, host_id) != nullptr;
}

const v1::LeftHost* find_left(const v1::Vm& vm, const std::string& host_id) {
  const auto& all = vm.placement().left_hosts();
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& left) { return left.host_id() == host_id; });
  return found == all.end() ? nullptr : &*found;
}

std::uint64_t next_epoch(v1::VmPlacement& placement) {
  placement.set_last_epoch(std::max(placement.last_epoch(), placement.epoch()) + 1);
  return placement.last_epoch();
}

void leave_host(v1::VmPlacement& placement, const std::string& host_id, const std::string& lease_pool) {
  forget_left(placement, host_id);
  v1::LeftHost& left = *placement.add_left_hosts();
  left.set_host_id(host_id);
  left.set_lease_pool(lease_pool);
  left.set_epoch(next_epoch(placement));
}

void forget_left(v1::VmPlacement& placement, const std::string& host_id) {
  auto& all = *placement.mutable_left_hosts();
  all.erase(std::remove_if(all.begin(), all.end(), [&](const auto& left) { return left.host_id() == host_id; }),
            all.end());
}

}  // namespace gantry::control
