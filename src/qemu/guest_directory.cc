#include "qemu/guest_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <system_error>
#include <thread>

#include "base/id.h"
#include "runtime/files.h"

namespace gantry::qemu {
namespace {

constexpr std::size_t kLogKept = 64U << 10U;
constexpr off_t kLogMax = 1 << 20;
// A process that was just killed, or a helper between its fork and exec, holds the lock a moment longer.
constexpr int kLockAttempts = 40;
constexpr std::chrono::milliseconds kLockPause{25};

std::string read_tail(const std::string& path, std::size_t bytes) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat facts {};
  if (!file.valid() || ::fstat(file.get(), &facts) != 0) return {};
  const off_t begin = std::max<off_t>(0, facts.st_size - static_cast<off_t>(bytes));
  std::string tail(static_cast<std::size_t>(facts.st_size - begin), '\0');
  const ssize_t count = ::pread(file.get(), tail.data(), tail.size(), begin);
  tail.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return tail;
}

Result<UniqueFd> open_owned(const std::string& path, int flags, std::uint32_t uid) {
  UniqueFd file(::open(path.c_str(), flags | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return fail(runtime::errno_error("cannot make " + path, errno));
  if (uid != 0 && ::fchown(file.get(), uid, uid) != 0) {
    return fail(runtime::errno_error("cannot give " + path + " to the guest's user", errno));
  }
  return file;
}

// QEMU appends, so it goes on at the new end.
void trim(const std::string& path) {
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0 || facts.st_size <= kLogMax) return;
  const std::string tail = read_tail(path, kLogKept);
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW));
  if (!file.valid() || ::ftruncate(file.get(), 0) != 0) return;
  // A log that could not be written again is merely shorter.
  [[maybe_unused]] const ssize_t written = ::write(file.get(), tail.data(), tail.size());
}

}  // namespace

GuestDirectory::GuestDirectory(const std::string& state_directory, const std::string& vm_id)
    : path_(state_directory + "/vms/" + vm_id) {}

Result<void> GuestDirectory::prepare(std::uint32_t uid) const {
  if (auto made = runtime::make_directories(path_, 0711); !made) return made;
  const std::string run = file("run");
  std::error_code ignored;
  std::filesystem::remove_all(run, ignored);
  if (::mkdir(run.c_str(), 0700) != 0 || (uid != 0 && ::chown(run.c_str(), uid, uid) != 0)) {
    return fail(runtime::errno_error("cannot make " + run, errno));
  }
  for (const auto& log : {console_log(), error_log()}) {
    if (auto made = open_owned(log, O_WRONLY | O_TRUNC, log == error_log() ? 0 : uid); !made) return fail(made.error());
  }
  return {};
}

Result<void> GuestDirectory::prepare_firmware(const std::string& pristine, std::uint32_t uid) const {
  const std::string path = firmware_variables();
  if (::access(path.c_str(), F_OK) == 0) {
    // Whoever wrote it may have been stopped before it was given away.
    auto owned = open_owned(path, O_WRONLY, uid);
    if (!owned) return fail(owned.error());
    return {};
  }
  const auto content = runtime::read_file(pristine);
  if (!content) {
    Error error = content.error();
    error.next_step = "install the package ovmf, or let the virtual machine boot by BIOS";
    return fail(std::move(error));
  }
  if (auto written = runtime::write_file_durably(path, *content); !written) return written;
  if (auto owned = open_owned(path, O_WRONLY, uid); !owned) return fail(owned.error());
  return {};
}

Result<UniqueFd> GuestDirectory::lock() const {
  const std::string path = file("lock");
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return fail(runtime::errno_error("cannot open " + path, errno));
  for (int attempt = 0; attempt < kLockAttempts; ++attempt) {
    if (attempt > 0) std::this_thread::sleep_for(kLockPause);
    if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) return file;
    if (errno != EWOULDBLOCK && errno != EINTR) break;
  }
  return fail(ErrorCode::conflict, "cannot start the virtual machine", "a QEMU process of it still lives",
              "stop it first", "guest_process_lives");
}

Result<void> GuestDirectory::save(const GuestRecord& record) const {
  return runtime::write_file_durably(file("record.json"), to_text(record));
}

Result<GuestRecord> GuestDirectory::load() const {
  const auto text = runtime::read_file(file("record.json"), 1U << 20U);
  if (!text) return fail(text.error());
  return parse_guest_record(*text);
}

std::string GuestDirectory::error_output() const { return read_tail(error_log(), kLogKept); }

std::string GuestDirectory::console_tail(std::size_t bytes) const { return read_tail(console_log(), bytes); }

void GuestDirectory::trim_logs() const {
  trim(console_log());
  trim(error_log());
  trim(tpm_log());
}

Result<void> GuestDirectory::remove() const {
  std::error_code error;
  std::filesystem::remove_all(path_, error);
  if (error) return fail(runtime::errno_error("cannot remove " + path_, error.value()));
  return {};
}

Result<std::vector<std::string>> guests_in(const std::string& state_directory) {
  const std::string path = state_directory + "/vms";
  std::vector<std::string> ids;
  std::error_code error;
  std::filesystem::directory_iterator entry(path, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (std::string name = entry->path().filename().string(); is_id(name, "vm")) ids.push_back(std::move(name));
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return fail(runtime::errno_error("cannot list " + path, error.value()));
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

}  // namespace gantry::qemu
