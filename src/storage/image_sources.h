// Where an image's content comes from: a recipe's program, a URL, an upload. Blocking.
#pragma once

#include <string>

#include "port/storage.h"
#include "storage/job.h"
#include "storage/options.h"

namespace gantry::storage {

// That the spec names exactly one source, and that it is one this host has.
Result<void> check_source(const port::ImageRequest& request, const StorageOptions& options);

// Runs the recipe's program, which makes the qcow2 file `output`.
Result<void> run_recipe(const port::ImageRequest& request, const StorageOptions& options, const std::string& output,
                        const Job& job);

// Fetches the URL into `output` as that user (0: as the daemon).
Result<void> fetch_url(const std::string& url, const StorageOptions& options, const std::string& output,
                       std::uint32_t uid, const Job& job);

// Against spec.sha256; done at once when there is none. reason "checksum_mismatch".
Result<void> check_sha256(const std::string& path, const std::string& sha256, const Job& job);

}  // namespace gantry::storage
