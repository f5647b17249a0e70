#include "server/upload_file.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "runtime/files.h"

namespace gantry::server {
Result<void> UploadFile::check_room(const std::string& path, std::uint64_t expected_bytes) {
  struct statvfs facts {};
  const std::string parent = std::filesystem::path(path).parent_path().string();
  if (expected_bytes == 0 || ::statvfs(parent.empty() ? "." : parent.c_str(), &facts) != 0) return {};
  const std::uint64_t free_bytes = std::uint64_t{facts.f_bavail} * facts.f_frsize;
  if (expected_bytes <= free_bytes) return {};
  return fail(ErrorCode::out_of_space, "the content has no room at " + path,
              "it has " + std::to_string(expected_bytes) + " bytes, and " + std::to_string(free_bytes) + " are free",
              "free some space there, or use another pool");
}

Result<std::unique_ptr<UploadFile>> UploadFile::begin(const std::string& path, std::uint64_t expected_bytes) {
  UniqueFd file(::open((path + ".part").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return fail(runtime::errno_error("cannot make " + path + ".part", errno));
  auto upload = std::make_unique<UploadFile>(path);
  upload->file_ = std::move(file);
  if (auto room = check_room(path, expected_bytes); !room) return fail(room.error());
  return upload;
}

UploadFile::~UploadFile() {
  if (file_.valid()) ::unlink(part_path().c_str());
}

Result<void> UploadFile::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file_.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail(runtime::errno_error("cannot write " + part_path(), errno));
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> UploadFile::commit() {
  if (::fsync(file_.get()) != 0) return fail(runtime::errno_error("cannot sync " + part_path(), errno));
  if (::rename(part_path().c_str(), path_.c_str()) != 0) {
    return fail(runtime::errno_error("cannot rename " + part_path(), errno));
  }
  file_.reset();
  const std::string parent = std::filesystem::path(path_).parent_path().string();
  const UniqueFd directory(::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid() || ::fsync(directory.get()) != 0) {
    return fail(runtime::errno_error("cannot sync " + parent, errno));
  }
  return {};
}

}  // namespace gantry::server
