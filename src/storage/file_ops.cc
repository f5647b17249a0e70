#include "storage/file_ops.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <system_error>
#include <vector>

#include "base/hex.h"
#include "runtime/files.h"

namespace gantry::storage {
namespace {

using runtime::errno_error;

constexpr std::size_t kPieceBytes = 1U << 20U;

Result<void> write_all(int fd, std::span<const unsigned char> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail(errno_error("cannot write " + path, errno));
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return {};
}

std::uint32_t percent_of(std::uint64_t done, std::uint64_t all) {
  return all == 0 ? 100 : static_cast<std::uint32_t>(done * 100 / all);
}

// Hands `use` the pieces of a range one after another.
template <class Use>
Result<void> for_each_piece(int fd, const std::string& path, std::uint64_t offset, std::uint64_t size_bytes,
                            const std::string& phase, const Job& job, Use use) {
  std::vector<unsigned char> buffer(kPieceBytes);
  std::uint64_t done = 0;
  while (done < size_bytes) {
    if (job.cancelled()) return fail(ErrorCode::cancelled, phase + " was cancelled");
    const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), size_bytes - done));
    auto count = read_at(fd, offset + done, std::span(buffer).first(wanted));
    if (!count) return fail(count.error());
    if (*count < wanted) return fail(ErrorCode::corrupt, "cannot read " + path, "it became shorter");
    if (Result<void> used = use(std::span<const unsigned char>(buffer).first(wanted)); !used) return used;
    done += wanted;
    job.tell(percent_of(done, size_bytes), phase);
  }
  return {};
}

}  // namespace

Result<FileFacts> stat_file(const std::string& path) {
  struct stat facts {};
  if (::lstat(path.c_str(), &facts) != 0) return fail(errno_error("cannot read " + path, errno));
  if (!S_ISREG(facts.st_mode)) return fail(ErrorCode::conflict, "cannot use " + path, "it is no regular file");
  return FileFacts{static_cast<std::uint64_t>(facts.st_size), static_cast<std::uint64_t>(facts.st_blocks) * 512,
                   facts.st_uid};
}

bool file_exists(const std::string& path) { return stat_file(path).has_value(); }

Result<UniqueFd> open_file(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file.valid()) return fail(errno_error("cannot open " + path, errno));
  struct stat facts {};
  if (::fstat(file.get(), &facts) != 0) return fail(errno_error("cannot read " + path, errno));
  if (!S_ISREG(facts.st_mode)) return fail(ErrorCode::conflict, "cannot open " + path, "it is no regular file");
  return file;
}

Result<UniqueFd> make_file(const std::string& path, mode_t mode) {
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!file.valid()) return fail(errno_error("cannot make " + path, errno));
  if (::fchmod(file.get(), mode) != 0) return fail(errno_error("cannot set the mode of " + path, errno));
  return file;
}

Result<std::size_t> read_at(int fd, std::uint64_t offset, std::span<unsigned char> into) {
  std::size_t done = 0;
  while (done < into.size()) {
    const ssize_t count = ::pread(fd, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail(errno_error("cannot read a file", errno));
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

Result<void> set_owner(const std::string& path, std::uint32_t uid, mode_t mode) {
  if (uid != 0 && ::lchown(path.c_str(), uid, uid) != 0) {
    return fail(errno_error("cannot give " + path + " to user " + std::to_string(uid), errno));
  }
  if (::chmod(path.c_str(), mode) != 0) return fail(errno_error("cannot set the mode of " + path, errno));
  return {};
}

Result<void> sync_directory(const std::string& path) {
  const UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid() || ::fsync(directory.get()) != 0) return fail(errno_error("cannot sync " + path, errno));
  return {};
}

namespace {

Result<void> sync_file(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file.valid() || ::fsync(file.get()) != 0) return fail(errno_error("cannot sync " + path, errno));
  return {};
}

Error is_there(const std::string& path) {
  return Error{ErrorCode::already_exists, "there is a file " + path + " already"};
}

// A network file system may carry the link out, lose its answer, and then say that the name is taken.
bool are_the_same(const std::string& a, const std::string& b) {
  struct stat first {};
  struct stat second {};
  return ::lstat(a.c_str(), &first) == 0 && ::lstat(b.c_str(), &second) == 0 && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino;
}

// NFS and CephFS have hard links, and no rename that replaces nothing; others the other way round.
Result<void> name_new(const std::string& fresh, const std::string& path) {
  const int refusal = ::link(fresh.c_str(), path.c_str()) == 0 ? 0 : errno;
  if (refusal == 0 || (refusal == EEXIST && are_the_same(fresh, path))) {
    if (::unlink(fresh.c_str()) != 0 && errno != ENOENT) return fail(errno_error("cannot remove " + fresh, errno));
    return {};
  }
  if (refusal == EEXIST) return fail(is_there(path));
  if (refusal != EPERM && refusal != EOPNOTSUPP && refusal != ENOSYS && refusal != EMLINK) {
    return fail(errno_error("cannot name " + path, refusal));
  }
  if (::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) == 0) return {};
  if (errno == EEXIST) return fail(is_there(path));
  if (errno != EINVAL && errno != ENOSYS) return fail(errno_error("cannot name " + path, errno));
  return fail(ErrorCode::unsupported, "cannot name " + path,
              "its file system has neither hard links nor a rename that replaces nothing",
              "keep the pool on another file system", "pool_unusable");
}

}  // namespace

Result<void> publish(const std::string& fresh, const std::string& path) {
  if (auto synced = sync_file(fresh); !synced) return synced;
  if (::rename(fresh.c_str(), path.c_str()) != 0) return fail(errno_error("cannot rename " + fresh, errno));
  return sync_directory(std::filesystem::path(path).parent_path().string());
}

Result<void> publish_new(const std::string& fresh, const std::string& path) {
  if (auto synced = sync_file(fresh); !synced) return synced;
  if (auto named = name_new(fresh, path); !named) return named;
  return sync_directory(std::filesystem::path(path).parent_path().string());
}

Result<void> remove_path(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) return fail(errno_error("cannot remove " + path, error.value()));
  return {};
}

Result<void> copy_range(const std::string& from, std::uint64_t offset, std::uint64_t size_bytes, const std::string& to,
                        const Job& job) {
  auto source = open_file(from);
  if (!source) return fail(source.error());
  auto target = make_file(to, 0600);
  if (!target) return fail(target.error());
  return for_each_piece(source->get(), from, offset, size_bytes, "copying", job,
                        [&](std::span<const unsigned char> piece) { return write_all(target->get(), piece, to); });
}

Result<std::string> sha256_of(const std::string& path, const Job& job) {
  auto file = open_file(path);
  if (!file) return fail(file.error());
  const auto facts = stat_file(path);
  if (!facts) return fail(facts.error());
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  if (!context || EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) != 1) {
    return fail(ErrorCode::internal, "cannot compute a SHA-256 checksum");
  }
  auto read = for_each_piece(file->get(), path, 0, facts->size_bytes, "checking the checksum", job,
                             [&](std::span<const unsigned char> piece) -> Result<void> {
                               EVP_DigestUpdate(context.get(), piece.data(), piece.size());
                               return {};
                             });
  if (!read) return fail(read.error());
  std::vector<unsigned char> digest(EVP_MAX_MD_SIZE);
  unsigned int size = 0;
  EVP_DigestFinal_ex(context.get(), digest.data(), &size);
  return to_hex(digest.data(), size);
}

}  // namespace gantry::storage
