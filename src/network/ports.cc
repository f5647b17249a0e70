#include "network/ports.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "base/unique_fd.h"

namespace gantry::network {
namespace {

std::string text_of(const Forward& forward) {
  return std::string(forward.udp ? "UDP" : "TCP") + " port " + std::to_string(forward.host_port) + " of " +
         model::format_ipv4(forward.host_address);
}

// 0 or why no program could listen there. With SO_REUSEADDR only a listener is in the way, not a closed connection.
int try_to_bind(const Forward& forward) {
  const int type = forward.udp ? SOCK_DGRAM : SOCK_STREAM;
  const UniqueFd socket(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  const int yes = 1;
  if (!socket.valid()) return errno;
  if (!forward.udp) ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(forward.host_port);
  at.sin_addr.s_addr = htonl(forward.host_address.value);
  return ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0 ? 0 : errno;
}

tl::unexpected<Error> in_use(const Forward& forward, const std::string& by) {
  return fail(ErrorCode::conflict, "cannot forward " + text_of(forward), by + " has it", "choose another host port",
              "port_in_use");
}

Result<void> check_programs(const Forward& forward) {
  const int error = try_to_bind(forward);
  if (error == EADDRINUSE) return in_use(forward, "a program on this host");
  if (error == EADDRNOTAVAIL) {
    return fail(ErrorCode::conflict, "cannot forward " + text_of(forward), "this host does not have that address",
                "use an address of the host, 127.0.0.1, or 0.0.0.0 for all", "address_not_here");
  }
  return {};
}

}  // namespace

bool collide(const Forward& one, const Forward& other) {
  if (one.udp != other.udp || one.host_port != other.host_port) return false;
  return one.host_address == other.host_address || one.host_address.value == 0 || other.host_address.value == 0;
}

Result<void> check_ports_are_free(const NicPlan& nic, const std::vector<NicPlan>& others) {
  for (std::size_t i = 0; i < nic.forwards.size(); ++i) {
    const Forward& forward = nic.forwards[i];
    for (std::size_t k = 0; k < i; ++k) {
      if (collide(forward, nic.forwards[k])) return in_use(forward, "another forward of the same network card");
    }
    for (const auto& other : others) {
      if (other.vm_id == nic.vm_id && other.index == nic.index) continue;
      for (const auto& taken : other.forwards) {
        if (collide(forward, taken)) return in_use(forward, "VM \"" + other.vm_name + "\" (" + other.vm_id + ")");
      }
    }
    if (nic.kind == v1::NetworkSpec::USER) continue;
    if (auto free = check_programs(forward); !free) return free;
  }
  return {};
}

}  // namespace gantry::network
