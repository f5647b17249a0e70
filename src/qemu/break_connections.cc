#include "qemu/break_connections.h"

#include <sys/socket.h>

#include "qemu/process_sockets.h"

namespace gantry::qemu {

Result<void> break_connections(int pidfd, int pid, const std::string& host, const std::set<std::uint32_t>& ports) {
  std::set<std::string> numbers;
  for (const std::uint32_t port : ports) numbers.insert(std::to_string(port));
  return for_each_connection(pidfd, pid, "cannot end the connections to " + host + " of process " + std::to_string(pid),
                             [&](int socket, const SocketEnd&, const SocketEnd& peer) {
                               if (peer.host == host && numbers.contains(peer.port)) ::shutdown(socket, SHUT_RDWR);
                             });
}

}  // namespace gantry::qemu
