// A disk of a guest that goes to another pool while the guest runs: what its host does next, and what it says
// (VmDiskMove in api/gantry/v1/vm.proto). Pure, like vm_machine.h, whose part this is.
#pragma once

#include <optional>
#include <string>

#include "base/time.h"
#include "gantry/v1/vm.pb.h"

namespace gantry::host {

struct VmInput;
struct VmPlan;

// What this run of the agent remembers of the move under way.
struct DiskMoveMemory {
  std::string task_id;
  // It cannot be done.
  std::optional<v1::Problem> problem;
  v1::Progress progress;
  // When that was told last.
  Milliseconds told_at_ms = 0;
  // Copying is being given up.
  bool stops = false;
};

// Forgets what was of another move.
void refresh_disk_move(DiskMoveMemory& memory, const v1::Vm& wanted);

bool has_disk_move(const VmInput& input);
// Copying goes on as long as nothing else is wanted of the guest.
bool wants_disk_copy(const VmInput& input);
// Of a guest that runs here. Nothing: it is tended as ever.
std::optional<VmPlan> plan_disk_move(const VmInput& input);
// Without a task: there is no move.
v1::VmMoveStatus disk_move_status(const VmInput& input);

}  // namespace gantry::host
