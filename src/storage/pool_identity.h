// Whose directory a pool's is, where several hosts have it: a file there says so. Without it a directory on the host's
// own disk, below a file system that is not mounted, or another export at the same place, could be taken for it.
// Blocking.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "port/storage.h"

namespace gantry::storage {

// The id of the shared pool whose directory it is; nothing: that of none.
Result<std::optional<std::string>> read_identity(const std::string& pool_path);

// That it is this shared pool's directory; pool_unusable with the reason otherwise.
Result<void> check_identity(const port::PoolRequest& request);

// That nothing lies there which may be another's: a directory that is to become a shared pool's.
Result<void> require_vacant(const std::string& pool_path);

// Makes it this pool's. Of several hosts that do so at once in one directory all succeed.
Result<void> make_identity(const port::PoolRequest& request);

// Nothing to do when it is not there, or another pool's.
Result<void> remove_identity(const port::PoolRequest& request);

}  // namespace gantry::storage
