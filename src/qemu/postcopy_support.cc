#include "qemu/postcopy_support.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "model/uid.h"
#include "runtime/files.h"

namespace gantry::qemu {
namespace {

constexpr const char* kSetting = "/proc/sys/vm/unprivileged_userfaultfd";

// In a child of a process with many threads: only system calls.
int try_as_guest() {
  const uid_t uid = model::kGuestUidFirst;
  if (::geteuid() == 0 && (::syscall(SYS_setgroups, 0, nullptr) != 0 || ::syscall(SYS_setresgid, uid, uid, uid) != 0 ||
                           ::syscall(SYS_setresuid, uid, uid, uid) != 0)) {
    return errno;
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  const int fd = static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC));
  if (fd < 0) return errno;
  uffdio_api api{.api = UFFD_API, .features = 0, .ioctls = 0};
  return ::ioctl(fd, UFFDIO_API, &api) == 0 ? 0 : errno;
}

}  // namespace

std::string postcopy_problem_of(int error_number, std::string_view setting) {
  if (error_number == 0) return {};
  if (error_number == ENOSYS) return "its kernel has no userfaultfd(2), by which QEMU fetches memory";
  if (error_number == EPERM && setting.starts_with('0')) {
    return "its kernel keeps userfaultfd(2), by which QEMU fetches memory, from unprivileged users: set "
           "\"sysctl vm.unprivileged_userfaultfd=1\" there, see docs/how-to/move.md";
  }
  return "QEMU's user may not call userfaultfd(2), by which it fetches memory: " +
         std::generic_category().message(error_number);
}

std::string postcopy_problem() {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(try_as_guest() & 0x7f);
  int status = 0;
  while (child > 0 && ::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return "it cannot be tried: " + std::generic_category().message(errno);
  }
  if (child < 0) return "it cannot be tried: " + std::generic_category().message(errno);
  // A sandbox may end who calls it.
  const int error_number = WIFEXITED(status) ? WEXITSTATUS(status) : EACCES;
  return postcopy_problem_of(error_number, runtime::read_file(kSetting).value_or(""));
}

}  // namespace gantry::qemu
