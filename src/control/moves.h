// Moves of running guests to other hosts: how each step of one follows from what its hosts say (vm.proto, VmMove).
// Pure and level-triggered, as all machines.
//
// The source alone ends a move: it gives the guest to the target, or says that it keeps it. Everything else that can
// happen is a wish to end it, which the source hears of. So nothing that is lost, late or repeated can make two hosts
// think that the guest is theirs.
#pragma once

#include <string>

#include "control/machines.h"
#include "gantry/v1/link.pb.h"

namespace gantry::control {

// Of a host that is not the VM's own: it moves there, or left there. What the first says of the move, and that nothing
// of the VM is left on the other.
void observe_elsewhere(Draft& draft, const std::string& host_id, const v1::ObservationMark& mark,
                       const v1::Observation& observation);

// What the target of a move said while it waited for the guest says nothing of the guest, should it come late.
bool is_of_waiting(const v1::Vm& vm, const std::string& host_id, const v1::VmStatus& status);

// That VM's move goes on; those to or from a host that changed are looked at soon.
void run_move(MachineContext& context, const std::string& id);

}  // namespace gantry::control
