#include "qemu/process_sockets.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <optional>
#include <system_error>

#include "base/unique_fd.h"
#include "runtime/files.h"

namespace gantry::qemu {
namespace {

using AskName = int (*)(int, sockaddr*, socklen_t*);

// Nothing: it is no such socket, or not connected.
std::optional<SocketEnd> end_of(int fd, AskName ask) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (ask(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return std::nullopt;
  if (address.ss_family != AF_INET && address.ss_family != AF_INET6) return std::nullopt;
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  const int failed = ::getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host.data(), host.size(),
                                   port.data(), port.size(), NI_NUMERICHOST | NI_NUMERICSERV);
  if (failed != 0) return std::nullopt;
  return SocketEnd{host.data(), port.data()};
}

bool leads_to_socket(const std::filesystem::path& entry) {
  std::error_code error;
  return std::filesystem::read_symlink(entry, error).native().starts_with("socket:") && !error;
}

}  // namespace

Result<void> for_each_connection(
    int pidfd, int pid, const std::string& what,
    const std::function<void(int socket, const SocketEnd& own, const SocketEnd& peer)>& take) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd", error)) {
    if (!leads_to_socket(entry.path())) continue;
    const std::string name = entry.path().filename();
    int number = -1;
    std::from_chars(name.data(), name.data() + name.size(), number);
    const UniqueFd socket(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd, number, 0)));
    // It may be closed by now.
    if (!socket.valid() && errno == EBADF) continue;
    if (!socket.valid()) return fail(runtime::errno_error(what, errno));
    const auto own = end_of(socket.get(), ::getsockname);
    const auto peer = end_of(socket.get(), ::getpeername);
    if (own && peer) take(socket.get(), *own, *peer);
  }
  if (error) return fail(ErrorCode::unavailable, what, error.message());
  return {};
}

}  // namespace gantry::qemu
