// Whether ports of this host are free to be forwarded.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "network/plan.h"

namespace gantry::network {

// Whether both would take the same packets.
bool collide(const Forward& one, const Forward& other);

// conflict "port_in_use" when a forward of `others` or a program on this host has one of the ports of `nic`;
// "address_not_here" when the host does not have the address. A guest in user mode may itself be that program, so
// programs are not asked about for those.
Result<void> check_ports_are_free(const NicPlan& nic, const std::vector<NicPlan>& others);

}  // namespace gantry::network
