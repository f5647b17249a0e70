// What hosts say of the pools that several of them have.
#pragma once

#include <string>

#include "control/draft.h"
#include "gantry/v1/link.pb.h"

namespace gantry::control {

// Takes over how the pool is on that host, and what follows for the pool as a whole: it is READY when it is READY on
// one host. How much room there is, the host tells that spoke last of those that have it READY. Until it was READY
// once, the host that makes it is the only one heard.
void observe_shared_pool(Draft& draft, const std::string& host_id, const v1::ObservationMark& mark,
                         const v1::Observation& observation);

// The host is leaving: the shared pools go on without it.
void forget_host_in_pools(Draft& draft, const std::string& host_id);

}  // namespace gantry::control
