// Volumes of a pool of Ceph, blocking. See port/storage.h for what each call promises, and rbd_pool.h for what is
// where. Always raw to its guest: whatever format is asked for, Ceph keeps it as it keeps all images.
#pragma once

#include "port/storage.h"
#include "storage/job.h"

namespace gantry::storage::rbd {

Result<port::VolumeFacts> create_volume(const port::VolumeRequest& request, const Job& job);
Result<port::VolumeFacts> inspect_volume(const port::VolumeRequest& request);
Result<port::VolumeFacts> resize_volume(const port::VolumeRequest& request);
Result<void> delete_volume(const port::VolumeRequest& request, const Job& job);

}  // namespace gantry::storage::rbd
