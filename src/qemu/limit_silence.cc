#include "qemu/limit_silence.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <charconv>

#include "qemu/move_in.h"
#include "qemu/process_sockets.h"

namespace gantry::qemu {
namespace {

constexpr int kProbeSeconds = 2;

void limit(int socket, Milliseconds silence_ms) {
  const auto set = [socket](int level, int option, unsigned value) {
    ::setsockopt(socket, level, option, &value, sizeof value);
  };
  // A connection on which nothing is sent is asked whether it lives.
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, kProbeSeconds);
  set(IPPROTO_TCP, TCP_KEEPINTVL, kProbeSeconds);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<unsigned>(silence_ms));
}

}  // namespace

Result<void> limit_silence(int pidfd, int pid, std::uint32_t port, Milliseconds silence_ms) {
  const auto is_wanted = [port](const SocketEnd& end) {
    unsigned number = 0;
    std::from_chars(end.port.data(), end.port.data() + end.port.size(), number);
    return port != 0 ? number == port : number >= kMovePortFirst && number <= kMovePortLast;
  };
  return for_each_connection(pidfd, pid, "cannot watch the connections of process " + std::to_string(pid),
                             [&](int socket, const SocketEnd& own, const SocketEnd& peer) {
                               if (is_wanted(own) || is_wanted(peer)) limit(socket, silence_ms);
                             });
}

}  // namespace gantry::qemu
