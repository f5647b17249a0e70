// One file that comes in pieces: written beside its place, put there only when complete.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace gantry::server {

// Threads: one at a time. Every call may block on the disk. Destroyed before commit() has succeeded, it leaves nothing.
class UploadFile {
 public:
  // out_of_space when the file system of `path` has no room for so many bytes; 0: unknown.
  static Result<void> check_room(const std::string& path, std::uint64_t expected_bytes);
  // Writes to `path`.part. `expected_bytes` 0: unknown; else out_of_space when there is no room for them.
  static Result<std::unique_ptr<UploadFile>> begin(const std::string& path, std::uint64_t expected_bytes);
  explicit UploadFile(std::string path) : path_(std::move(path)) {}
  ~UploadFile();
  UploadFile(const UploadFile&) = delete;
  UploadFile& operator=(const UploadFile&) = delete;

  Result<void> append(std::string_view bytes);
  // Synced and renamed to its place, over what was there.
  Result<void> commit();

 private:
  [[nodiscard]] std::string part_path() const { return path_ + ".part"; }

  std::string path_;
  UniqueFd file_;
};

}  // namespace gantry::server
