// Images in a pool of Ceph, blocking. See port/storage.h for what each call promises, and rbd_pool.h for what is where.
// An image is fetched or built, and checked, on this host's own disk, as those of the driver `dir` are, and then copied
// into Ceph. Disks only: guests boot kernels from files.
#pragma once

#include "port/storage.h"
#include "storage/job.h"
#include "storage/options.h"

namespace gantry::storage::rbd {

Result<port::ImageFacts> import_image(const port::ImageRequest& request, const StorageOptions& options, const Job& job);
Result<port::ImageFacts> inspect_image(const port::ImageRequest& request);
Result<void> delete_image(const port::ImageRequest& request);

}  // namespace gantry::storage::rbd
