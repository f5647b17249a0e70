// Which hosts have to do with a VM: its own, the one that it moves to, and those that it left.
#pragma once

#include <set>
#include <string>

#include "gantry/v1/vm.pb.h"

namespace gantry::control {

// By id.
std::set<std::string> hosts_of(const v1::Vm& vm);
bool moves_to(const v1::Vm& vm, const std::string& host_id);
// Memory must be kept free for it there. What waits for a guest, or did in vain, is a process as large as the guest.
bool holds_memory_on(const v1::Vm& vm, const std::string& host_id);
// nullptr: it did not leave that host, or nothing of it is left there.
const v1::LeftHost* find_left(const v1::Vm& vm, const std::string& host_id);

// One that no placement or move of the VM ever had.
std::uint64_t next_epoch(v1::VmPlacement& placement);
// From now on that host is to take away what it has of the VM; with a lease, if it has one on that pool that nobody
// else has.
void leave_host(v1::VmPlacement& placement, const std::string& host_id, const std::string& lease_pool);
void forget_left(v1::VmPlacement& placement, const std::string& host_id);

}  // namespace gantry::control
