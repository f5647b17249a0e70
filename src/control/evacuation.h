// Hosts that go into maintenance: their guests are moved to others, a few at a time, as a user would move them. It goes
// on while the task of the change that asked for it is open; what cannot be moved stays, the task says why, and it is
// tried again. Pure and level-triggered, as all machines.
#pragma once

#include <string>
#include <vector>

#include "control/change.h"
#include "control/machines.h"

namespace gantry::control {

// Those that run on that host, come to it, or left something there; by name. Who turns it off harms one of them.
std::vector<const v1::Vm*> guests_on(const Draft& draft, const std::string& host_id);

// Says in the plan where each of them would go if all went now, and warns of those that would stay.
void plan_evacuation(Change& change, const v1::Host& host);

// Begins moves from that host.
void run_evacuation(MachineContext& context, const std::string& id);

// How far that is, of a task that waits for it, and what holds it up.
v1::Progress evacuation_progress(const MachineContext& context, const v1::Task& task);

}  // namespace gantry::control
