// Images of a `dir` pool, blocking. See port/storage.h for what each call promises.
#pragma once

#include "port/storage.h"
#include "storage/job.h"
#include "storage/options.h"

namespace gantry::storage {

Result<port::ImageFacts> import_image(const port::ImageRequest& request, const StorageOptions& options, const Job& job);
Result<port::ImageFacts> inspect_image(const port::ImageRequest& request);
Result<void> delete_image(const port::ImageRequest& request);

}  // namespace gantry::storage
