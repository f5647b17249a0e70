// What of a guest can be reached from the server's machine, where the command line usually runs.
#pragma once

#include "app/cli/api_client.h"
#include "gantry/v1/vm.pb.h"

namespace gantry::app {

// Of a VM on another machine than the server's: takes out the ports of that machine's loopback and the addresses behind
// its NAT, which here lead to nobody or to another guest. Whether it is on another.
bool keep_reachable(ApiClient& client, v1::Vm& vm);

}  // namespace gantry::app
