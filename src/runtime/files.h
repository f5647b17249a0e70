// Small files, read whole and written so that a crash leaves the old or the new content.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::runtime {

// not_found, or unavailable with the system's words. A larger file than `bytes_max` is corrupt.
Result<std::string> read_file(const std::string& path, std::size_t bytes_max = 16U << 20U);

// Writes a new file beside it, syncs, renames over `path` and syncs the directory. out_of_space or unavailable.
Result<void> write_file_durably(const std::string& path, std::string_view content, mode_t mode = 0600);

// With parents; the last one gets `mode`. An existing directory is fine and keeps its mode.
Result<void> make_directories(const std::string& path, mode_t mode = 0755);

// The Error for a failed system call: "cannot WHAT: strerror", out_of_space for ENOSPC and EDQUOT.
Error errno_error(std::string what, int error_number);

}  // namespace gantry::runtime
