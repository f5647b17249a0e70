// Which of the manager's machine's addresses other hosts' overlays lead to.
#pragma once

#include <string>
#include <vector>

#include "runtime/machine_addresses.h"

namespace gantry::app {

// An IPv4 address of `here`: the first that is `named` (as --link-address has them), else the one that the machine
// sends from to the outside, `outgoing`; else the first whose interface is up. Empty: there is none.
std::string choose_overlay_address(const std::vector<std::string>& named,
                                   const std::vector<runtime::MachineAddress>& here, const std::string& outgoing);

}  // namespace gantry::app
