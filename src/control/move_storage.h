// What a VM has on storage when it moves to another host: what is there already, and what goes with it.
#pragma once

#include <string>
#include <vector>

#include "control/change.h"

namespace gantry::control {

struct MoveStorage {
  // Volumes that the host does not reach.
  std::vector<const v1::Volume*> copied = {};
  // Where they go, and the lease if that is on none of its pools; nullptr: nothing goes anywhere.
  const v1::Pool* pool = nullptr;
  // As in VmMove.
  std::string lease_pool = {};
  v1::VmSpec::Firmware firmware = v1::VmSpec::FROM_IMAGE;
};

// With that host as the target; the error's cause says why it cannot be. `wanted`: the pool asked for, or nullptr.
Result<MoveStorage> plan_storage(const Change& change, const v1::Vm& vm, const std::string& host_id,
                                 const v1::Pool* wanted);

// A VM under way, as it asks for things once it is there.
v1::VmSpec spec_there(const v1::Vm& vm);
// Its record as that host is told it: to the target it has its disks' copies, and to a host that it left, its lease is
// where that host has one.
v1::Vm seen_from(const std::string& host_id, const v1::Vm& vm);

}  // namespace gantry::control
