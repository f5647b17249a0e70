// The pool driver `rbd`: images of Ceph, made by its own programs. This part knows the pool as a whole.
//   gantry-pool               an object that says whose pool (or namespace) it is: the id of Gantry's pool
//   IMAGE_ID                  an image, with the protected snapshot `gantry` that volumes are clones of
//   VOLUME_ID                 a volume
//   NAME.HOST_ID.new          either of them, while that host makes it: it gets its name when it is complete
// On this host, beside the configuration POOL_ID.conf that the pool's location names:
//   POOL_ID.keyring           the user's key
//   POOL_ID/                  as a pool of the driver `dir`: what was uploaded, and images on their way into Ceph
// All of it blocks.
#pragma once

#include <string>

#include "base/result.h"
#include "model/rbd_location.h"
#include "port/storage.h"
#include "storage/job.h"
#include "storage/pools.h"
#include "storage/rbd_answers.h"

namespace gantry::storage::rbd {

inline constexpr char kSnapshot[] = "gantry";

// To be asked before anything is done in a pool: writes its configuration, and checks that it is this pool's, new or
// not. Fails with pool_unusable otherwise.
Result<model::RbdLocation> require_pool(const port::PoolRequest& request);

// As storage::inspect_pool().
Result<v1::PoolStatus> inspect_pool(const port::PoolRequest& request, ActiveObjects& active);
// As remove_identity() of pool_identity.h, with what this host keeps of the pool.
Result<void> release_pool(const port::PoolRequest& request);

// POOL_ID/ of above, as a pool.
port::PoolRequest local_part(const model::RbdLocation& pool);
port::PoolRequest local_part(const std::string& pool_id, const std::string& directory);

// The name of what this host has not finished.
std::string fresh_name(const port::PoolRequest& request, const std::string& name);

// not_found when there is none.
Result<ImageAnswer> find_image(const model::RbdLocation& pool, const std::string& name);

// Gives what was made its name. already_exists when something has it; what has it stays.
Result<void> publish(const model::RbdLocation& pool, const std::string& fresh, const std::string& name);

// Removes the image with that name; nothing there is fine. A name that is left of a renaming that was cut short is
// another name of `name`, which then stays with all its content.
Result<void> remove_unfinished_image(const model::RbdLocation& pool, const std::string& fresh, const std::string& name);
// Of that image or volume, whoever made it.
Result<void> remove_all_unfinished(const model::RbdLocation& pool, const std::string& name);

// Removes an image with its snapshots; nothing there is fine. May take as long as there is much in it.
Result<void> remove_image(const model::RbdLocation& pool, const std::string& name, const Job& job);

}  // namespace gantry::storage::rbd
