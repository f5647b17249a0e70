// Files as the storage driver needs them: nothing is trusted to be on disk before it was synced, no symbolic link is
// followed. All of it blocks.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "storage/job.h"

namespace gantry::storage {

struct FileFacts {
  std::uint64_t size_bytes = 0;
  // What it takes of the file system.
  std::uint64_t allocation_bytes = 0;
  std::uint32_t owner_uid = 0;
};

// not_found when it is not there; conflict when it is no regular file.
Result<FileFacts> stat_file(const std::string& path);
bool file_exists(const std::string& path);

// For reading; a regular file only.
Result<UniqueFd> open_file(const std::string& path);
// Makes it or empties it, for writing.
Result<UniqueFd> make_file(const std::string& path, mode_t mode);
// Fewer bytes than asked for only at the end of the file.
Result<std::size_t> read_at(int fd, std::uint64_t offset, std::span<unsigned char> into);

// User and group; 0 leaves both as they are.
Result<void> set_owner(const std::string& path, std::uint32_t uid, mode_t mode);
// Syncs the finished file, gives it its name and syncs the directory. Replaces what has that name.
Result<void> publish(const std::string& fresh, const std::string& path);
// The same where another host may do so too: what has that name already stays, and already_exists is answered. On file
// systems without hard links only the rename that replaces nothing is left, and unsupported where there is neither.
Result<void> publish_new(const std::string& fresh, const std::string& path);
// Files and whole directories; nothing there is fine.
Result<void> remove_path(const std::string& path);
Result<void> sync_directory(const std::string& path);

// Copies that range into a new file.
Result<void> copy_range(const std::string& from, std::uint64_t offset, std::uint64_t size_bytes, const std::string& to,
                        const Job& job);
// In small hexadecimal letters.
Result<std::string> sha256_of(const std::string& path, const Job& job);

}  // namespace gantry::storage
