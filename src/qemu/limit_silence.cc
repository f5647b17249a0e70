#include "qemu/limit_silence.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <string>

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
  const std::string number = std::to_string(port);
  return for_each_connection(pidfd, pid, "cannot watch the connections of process " + std::to_string(pid),
                             [&](int socket, const SocketEnd& own, const SocketEnd& peer) {
                               if (own.port == number || peer.port == number) limit(socket, silence_ms);
                             });
}

}  // namespace gantry::qemu
