// Whose a pool of Ceph (or a namespace in one) is: an object in it says so, as the file in a directory does
// (pool_identity.h). A pool of Ceph belongs to one pool of one cluster of Gantry alone. Blocking.
#pragma once

#include <string>

#include "base/result.h"
#include "model/rbd_location.h"
#include "port/storage.h"

namespace gantry::storage::rbd {

// The id of the pool whose it is; empty: nobody's.
Result<std::string> read_identity(const model::RbdLocation& pool);

// pool_unusable with the reason when it is not this pool's.
Result<void> check_identity(const port::PoolRequest& request, const model::RbdLocation& pool);

// Of two that do so at once one fails, and may try again.
Result<void> make_identity(const port::PoolRequest& request, const model::RbdLocation& pool);

// Nothing to do when it is not there, or another pool's.
Result<void> remove_identity(const port::PoolRequest& request, const model::RbdLocation& pool);

}  // namespace gantry::storage::rbd
