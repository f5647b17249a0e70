#include "app/sentinel/lease_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "runtime/files.h"

namespace gantry::sentinel {
namespace {

struct alignas(host::kLeaseBlockBytes) Block {
  std::array<char, host::kLeaseBlockBytes> bytes{};
};

UniqueFd open_record(const std::string& path, int flags) {
  return UniqueFd(::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0600));
}

bool is_directory(const std::string& path) {
  struct stat facts {};
  return ::stat(path.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode);
}

}  // namespace

Result<void> LeaseFile::check_pool() const {
  if (is_directory(directory())) return {};
  // Made only where more of the pool is: the directory that a file system is to be mounted over looks empty.
  const bool there = is_directory(pool_directory_ + "/volumes") || is_directory(pool_directory_ + "/images");
  if (!there) {
    return fail(ErrorCode::unavailable, "cannot use the pool at " + pool_directory_,
                "its file system is not mounted, or what it held was removed", "mount its file system",
                "pool_unusable");
  }
  if (::mkdir(directory().c_str(), 0700) == 0 || errno == EEXIST) return {};
  return fail(runtime::errno_error("cannot make " + directory(), errno));
}

// Some file systems have no direct I/O. From this host's cache a record may stand still that its owner renews.
Result<void> LeaseFile::pass_caches(const UniqueFd& file) const {
  const bool passes = ::fcntl(file.get(), F_SETFL, ::fcntl(file.get(), F_GETFL) | O_DIRECT) == 0;
  if (passes || is_private_) return {};
  return fail(ErrorCode::unsupported, "cannot keep leases in " + directory(),
              "its file system has no direct I/O (O_DIRECT): what other hosts write might not be seen in time",
              "use a file system for the shared pool that has it, such as NFS");
}

Result<std::optional<host::LeaseRecord>> LeaseFile::read() {
  if (auto there = check_pool(); !there) return fail(there.error());
  const UniqueFd file = open_record(path(), O_RDONLY);
  if (!file.valid() && errno == ENOENT) return std::nullopt;
  if (!file.valid()) return fail(runtime::errno_error("cannot open " + path(), errno));
  if (auto passed = pass_caches(file); !passed) return fail(passed.error());
  Block block;
  const ssize_t count = ::pread(file.get(), block.bytes.data(), block.bytes.size(), 0);
  if (count < 0) return fail(runtime::errno_error("cannot read " + path(), errno));
  const std::string_view bytes(block.bytes.data(), static_cast<std::size_t>(count));
  auto record = host::parse_lease_block(bytes);
  if (record) return std::move(*record);
  // A later version's is somebody's.
  if (record.error().code == ErrorCode::unsupported) return fail(record.error());
  return host::unreadable_record(bytes);
}

Result<void> LeaseFile::write(const host::LeaseWrite& write) {
  if (auto there = check_pool(); !there) return there;
  // On a pool of our own nobody reads it but us, and after a loss of power it is taken at once: the disk need not
  // flush.
  const int sync = is_private_ ? 0 : O_DSYNC;
  const UniqueFd file = open_record(path(), O_WRONLY | sync | (write.create ? O_CREAT | O_EXCL : 0));
  if (!file.valid() && errno == EEXIST) return fail(ErrorCode::conflict, path() + " is there already");
  if (!file.valid()) return fail(runtime::errno_error("cannot open " + path(), errno));
  if (auto passed = pass_caches(file); !passed) {
    if (write.create) ::unlink(path().c_str());
    return passed;
  }
  const std::string text = host::to_block(write.record);
  Block block;
  std::memcpy(block.bytes.data(), text.data(), text.size());
  const ssize_t count = ::pwrite(file.get(), block.bytes.data(), block.bytes.size(), 0);
  if (count == static_cast<ssize_t>(block.bytes.size())) return {};
  return fail(runtime::errno_error("cannot write " + path(), count < 0 ? errno : ENOSPC));
}

Result<void> LeaseFile::remove() {
  if (::unlink(path().c_str()) == 0 || errno == ENOENT || errno == ENOTDIR) return {};
  return fail(runtime::errno_error("cannot remove " + path(), errno));
}

}  // namespace gantry::sentinel
