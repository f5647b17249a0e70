#include "runtime/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "base/unique_fd.h"

namespace gantry::runtime {
namespace {

Result<void> write_all(int fd, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t written = ::write(fd, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail(errno_error("cannot write " + path, errno));
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> sync_directory_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  const UniqueFd directory(::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid() || ::fsync(directory.get()) != 0) return fail(errno_error("cannot sync " + parent, errno));
  return {};
}

Result<void> write_new_file(const std::string& path, std::string_view content, mode_t mode) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!file.valid()) return fail(errno_error("cannot make " + path, errno));
  if (auto written = write_all(file.get(), content, path); !written) return written;
  if (::fchmod(file.get(), mode) != 0 || ::fsync(file.get()) != 0) {
    return fail(errno_error("cannot sync " + path, errno));
  }
  return {};
}

}  // namespace

Error errno_error(std::string what, int error_number) {
  const std::string cause = std::system_category().message(error_number);
  if (error_number == ENOSPC || error_number == EDQUOT) {
    return Error{ErrorCode::out_of_space, std::move(what), cause, "free some space there and try again"};
  }
  const auto code = error_number == ENOENT                            ? ErrorCode::not_found
                    : error_number == EACCES || error_number == EPERM ? ErrorCode::permission_denied
                                                                      : ErrorCode::unavailable;
  return Error{code, std::move(what), cause};
}

Result<std::string> read_file(const std::string& path, std::size_t bytes_max) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return fail(errno_error("cannot open " + path, errno));
  std::string content;
  char buffer[16384];
  while (true) {
    const ssize_t count = ::read(file.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail(errno_error("cannot read " + path, errno));
    if (count == 0) return content;
    content.append(buffer, static_cast<std::size_t>(count));
    if (content.size() > bytes_max) return fail(ErrorCode::corrupt, "cannot read " + path, "it is too large");
  }
}

Result<void> write_file_durably(const std::string& path, std::string_view content, mode_t mode) {
  const std::string fresh = path + ".new";
  auto written = write_new_file(fresh, content, mode);
  if (written && ::rename(fresh.c_str(), path.c_str()) != 0) {
    written = fail(errno_error("cannot rename " + fresh, errno));
  }
  if (!written) {
    ::unlink(fresh.c_str());
    return written;
  }
  return sync_directory_of(path);
}

Result<void> make_directories(const std::string& path, mode_t mode) {
  std::error_code error;
  const bool made = std::filesystem::create_directories(path, error);
  if (error) return fail(errno_error("cannot make directory " + path, error.value()));
  if (made && ::chmod(path.c_str(), mode) != 0) return fail(errno_error("cannot set the mode of " + path, errno));
  return {};
}

}  // namespace gantry::runtime
