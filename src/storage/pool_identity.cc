#include "storage/pool_identity.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "runtime/files.h"
#include "storage/file_ops.h"
#include "storage/paths.h"

namespace gantry::storage {
namespace {

constexpr mode_t kIdentityMode = 0444;
// More than any id has.
constexpr std::size_t kIdentityBytesMax = 256;
constexpr char kReadable[] = "see that it is a directory, and can be read";

Error unusable(const std::string& pool_path, std::string cause, std::string next_step) {
  return Error{ErrorCode::unavailable, "cannot use the pool at " + pool_path, std::move(cause), std::move(next_step),
               "pool_unusable"};
}

Error missing(const std::string& pool_path) {
  std::error_code error;
  const bool there = std::filesystem::is_directory(pool_path, error);
  if (!there) {
    return unusable(pool_path, "there is no directory " + pool_path + " on this host",
                    "make it and mount the shared file system there");
  }
  return unusable(
      pool_path,
      "there is no " + identity_path(pool_path) + ": the shared file system is not mounted here, or another one is",
      "mount it as on the other hosts; if what it held is lost for good, delete the pool");
}

Error another(const std::string& pool_path, const std::string& id) {
  return unusable(pool_path, "it is the directory of another pool, " + (id.empty() ? std::string("of none known") : id),
                  "mount what belongs here; if that pool is gone for good, remove " + identity_path(pool_path));
}

Result<void> write_line(const std::string& path, const std::string& line) {
  auto file = make_file(path, kIdentityMode);
  if (!file) return fail(file.error());
  const ssize_t count = ::write(file->get(), line.data(), line.size());
  if (count == static_cast<ssize_t>(line.size())) return {};
  return fail(runtime::errno_error("cannot write " + path, count < 0 ? errno : ENOSPC));
}

}  // namespace

Result<std::optional<std::string>> read_identity(const std::string& pool_path) {
  auto file = open_file(identity_path(pool_path));
  if (!file && file.error().code == ErrorCode::not_found) return std::nullopt;
  if (!file) return fail(unusable(pool_path, file.error().summary + ": " + file.error().cause, kReadable));
  std::array<unsigned char, kIdentityBytesMax> bytes{};
  const auto count = read_at(file->get(), 0, bytes);
  if (!count) return fail(unusable(pool_path, count.error().summary + ": " + count.error().cause, kReadable));
  std::string id(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(*count));
  id.resize(std::min(id.size(), id.find('\n')));
  // It is shown to people, and may be anything.
  if (!check_id(id, "pool")) id.clear();
  return id;
}

Result<void> check_identity(const port::PoolRequest& request) {
  const auto found = read_identity(request.path);
  if (!found) return fail(found.error());
  if (!*found) return fail(missing(request.path));
  if (**found != request.shared_id) return fail(another(request.path, **found));
  return {};
}

Result<void> require_vacant(const std::string& pool_path) {
  for (const std::string& directory : {volumes_directory(pool_path), images_directory(pool_path)}) {
    std::error_code error;
    if (!std::filesystem::is_directory(directory, error) || std::filesystem::is_empty(directory, error)) continue;
    return fail(unusable(pool_path, "there is something in " + directory + " already, and nothing says whose it is",
                         "give an empty directory"));
  }
  return {};
}

Result<void> make_identity(const port::PoolRequest& request) {
  const std::string path = identity_path(request.path);
  const std::string fresh = fresh_path(request, path);
  if (auto removed = remove_path(fresh); !removed) return removed;
  Result<void> done = write_line(fresh, request.shared_id + "\n");
  if (done) done = publish_new(fresh, path);
  if (done) return done;
  (void)remove_path(fresh);
  // Another host was first.
  if (done.error().code == ErrorCode::already_exists) return check_identity(request);
  return done;
}

Result<void> remove_identity(const port::PoolRequest& request) {
  const auto found = read_identity(request.path);
  if (!found) return fail(found.error());
  if (!*found || **found != request.shared_id) return {};
  if (auto removed = remove_path(identity_path(request.path)); !removed) return removed;
  return sync_directory(request.path);
}

}  // namespace gantry::storage
