// The cluster's own authority, as the store keeps it: every manager of the cluster signs with the same.
#pragma once

#include "base/result.h"
#include "base/time.h"
#include "link/authority.h"
#include "port/store.h"

namespace gantry::app {

// Makes it when there is none. Blocks until the store has answered; not to be called on a thread of the store's.
Result<link::Credentials> ensure_authority(port::Store& store, Now now);

}  // namespace gantry::app
