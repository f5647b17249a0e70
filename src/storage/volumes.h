// Volumes of a `dir` pool, blocking. See port/storage.h for what each call promises. Every call that finds the volume
// gives it to request.uid (0: leaves its owner), so a volume that moves to another VM needs no call of its own.
// What a guest's QEMU wrote is only read as that user.
#pragma once

#include "port/storage.h"
#include "storage/job.h"

namespace gantry::storage {

Result<port::VolumeFacts> create_volume(const port::VolumeRequest& request, const Job& job);
Result<port::VolumeFacts> inspect_volume(const port::VolumeRequest& request);
Result<port::VolumeFacts> resize_volume(const port::VolumeRequest& request);
Result<void> delete_volume(const port::VolumeRequest& request);

}  // namespace gantry::storage
