// Disks of running guests that go to other pools: what follows from what the guest's host says (vm.proto, VmDiskMove).
// Pure and level-triggered, as all machines.
//
// The host alone knows whether its guest uses the copy: until it has said so, or that it does not and never will, both
// volumes stay, and no other boot of the VM begins.
#pragma once

#include <string>

#include "control/machines.h"

namespace gantry::control {

// What the VM's host says of the move under way; an empty one before.
const v1::VmMoveStatus& disk_move_word(const v1::Vm& vm);

// Given up; `why` is empty when that was asked for. What the host has said since it saw that is its last word.
void cancel_disk_move(v1::Vm& vm, const v1::Problem& why);

// The move of that VM's disk ends when its host has said how.
void run_disk_move(MachineContext& context, const std::string& id);

}  // namespace gantry::control
