#include "qemu/break_connections.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/unique_fd.h"
#include "runtime/files.h"

namespace gantry::qemu {
namespace {

// Whom it is connected to, with numbers; empty: it is no such socket, or not connected.
std::pair<std::string, std::string> peer_of(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  if (address.ss_family != AF_INET && address.ss_family != AF_INET6) return {};
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  const int failed = ::getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host.data(), host.size(),
                                   port.data(), port.size(), NI_NUMERICHOST | NI_NUMERICSERV);
  if (failed != 0) return {};
  return {host.data(), port.data()};
}

bool leads_to_socket(const std::filesystem::path& entry) {
  std::error_code error;
  return std::filesystem::read_symlink(entry, error).native().starts_with("socket:") && !error;
}

}  // namespace

Result<void> break_connections(int pidfd, int pid, const std::string& host, const std::set<std::uint32_t>& ports) {
  const std::string what = "cannot end the connections to " + host + " of process " + std::to_string(pid);
  std::set<std::pair<std::string, std::string>> peers;
  for (const std::uint32_t port : ports) peers.emplace(host, std::to_string(port));
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
    if (peers.contains(peer_of(socket.get()))) ::shutdown(socket.get(), SHUT_RDWR);
  }
  if (error) return fail(ErrorCode::unavailable, what, error.message());
  return {};
}

}  // namespace gantry::qemu
