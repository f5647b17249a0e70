#include "network/links.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>

#include "base/unique_fd.h"
#include "runtime/files.h"
#include "runtime/process.h"

namespace gantry::network {
namespace {

UniqueFd open_socket() { return UniqueFd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)); }

ifreq request_for(const std::string& name) {
  ifreq request{};
  name.copy(request.ifr_name, sizeof request.ifr_name - 1);
  return request;
}

// 0 or an errno.
template <class Argument>
int control(unsigned long what, Argument argument) {
  const UniqueFd socket = open_socket();
  if (!socket.valid()) return errno;
  return ::ioctl(socket.get(), what, argument) == 0 ? 0 : errno;
}

Result<void> done(int error, const std::string& what) {
  if (error == 0) return {};
  return fail(runtime::errno_error("cannot " + what, error));
}

sockaddr inet_address(model::Ipv4Address address) {
  sockaddr_in inet{};
  inet.sin_family = AF_INET;
  inet.sin_addr.s_addr = htonl(address.value);
  sockaddr result{};
  std::memcpy(&result, &inet, sizeof result);
  return result;
}

// Whether it was a port of one; `but` is left alone.
bool leave_bridges(int port_index, const std::string& but) {
  for (const auto& bridge : link_names()) {
    if (bridge == but || !is_bridge(bridge)) continue;
    ifreq leave = request_for(bridge);
    leave.ifr_ifindex = port_index;
    if (control(SIOCBRDELIF, &leave) == 0) return true;
  }
  return false;
}

Result<UniqueFd> open_tap(const std::string& name) {
  UniqueFd tap(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (!tap.valid()) return fail(runtime::errno_error("cannot open /dev/net/tun", errno));
  ifreq request = request_for(name);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (::ioctl(tap.get(), TUNSETIFF, &request) != 0) {
    return fail(errno == EBUSY ? ErrorCode::conflict : ErrorCode::unavailable, "cannot make the tap " + name,
                std::strerror(errno));
  }
  return tap;
}

}  // namespace

bool link_exists(const std::string& name) { return ::if_nametoindex(name.c_str()) != 0; }

std::vector<std::string> link_names() {
  std::vector<std::string> names;
  struct if_nameindex* all = ::if_nameindex();
  if (all == nullptr) return names;
  for (const struct if_nameindex* one = all; one->if_index != 0; ++one) names.emplace_back(one->if_name);
  ::if_freenameindex(all);
  return names;
}

bool is_bridge(const std::string& name) {
  ethtool_drvinfo facts{};
  facts.cmd = ETHTOOL_GDRVINFO;
  ifreq request = request_for(name);
  request.ifr_data = reinterpret_cast<char*>(&facts);
  return control(SIOCETHTOOL, &request) == 0 && std::string_view(facts.driver) == "bridge";
}

Result<unsigned> link_mtu(const std::string& name) {
  ifreq request = request_for(name);
  const int error = control(SIOCGIFMTU, &request);
  if (error == ENODEV) return fail(ErrorCode::not_found, "there is no network device " + name);
  if (error != 0) return fail(runtime::errno_error("cannot read the MTU of " + name, error));
  return static_cast<unsigned>(request.ifr_mtu);
}

Result<void> set_link_mtu(const std::string& name, unsigned mtu) {
  ifreq request = request_for(name);
  request.ifr_mtu = static_cast<int>(mtu);
  return done(control(SIOCSIFMTU, &request), "set the MTU of " + name);
}

Result<void> set_link_up(const std::string& name, bool up) {
  ifreq request = request_for(name);
  const int error = control(SIOCGIFFLAGS, &request);
  if (error != 0) return done(error, "read the state of " + name);
  const int flags = up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP;
  request.ifr_flags = static_cast<short>(flags);
  return done(control(SIOCSIFFLAGS, &request), "set " + name + (up ? " up" : " down"));
}

std::optional<model::Ipv4Address> link_address(const std::string& name) {
  ifreq request = request_for(name);
  if (control(SIOCGIFADDR, &request) != 0) return std::nullopt;
  sockaddr_in inet{};
  std::memcpy(&inet, &request.ifr_addr, sizeof inet);
  return model::Ipv4Address{ntohl(inet.sin_addr.s_addr)};
}

Result<void> make_bridge(const std::string& name, const std::string& mac) {
  const int error = control(SIOCBRADDBR, name.c_str());
  if (error != 0 && error != EEXIST) return done(error, "make the bridge " + name);
  ifreq request = request_for(name);
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  for (std::size_t i = 0; i < 6; ++i) {
    unsigned byte = 0;
    std::from_chars(mac.data() + 3 * i, mac.data() + 3 * i + 2, byte, 16);
    request.ifr_hwaddr.sa_data[i] = static_cast<char>(byte);
  }
  return done(control(SIOCSIFHWADDR, &request), "set the MAC address of " + name);
}

Result<void> delete_bridge(const std::string& name) {
  if (!link_exists(name)) return {};
  if (auto down = set_link_up(name, false); !down) return down;
  const int error = control(SIOCBRDELBR, name.c_str());
  return done(error == ENXIO || error == ENODEV ? 0 : error, "remove the bridge " + name);
}

Result<void> set_link_address(const std::string& name, model::Ipv4Address address, const model::Ipv4Subnet& subnet) {
  const std::string what = "give " + name + " the address " + model::format_ipv4(address);
  ifreq request = request_for(name);
  request.ifr_addr = inet_address(address);
  if (const int error = control(SIOCSIFADDR, &request); error != 0) return done(error, what);
  request.ifr_netmask = inet_address({subnet.mask()});
  if (const int error = control(SIOCSIFNETMASK, &request); error != 0) return done(error, what);
  request.ifr_broadaddr = inet_address(subnet.last());
  return done(control(SIOCSIFBRDADDR, &request), what);
}

Result<void> add_bridge_port(const std::string& bridge, const std::string& port) {
  ifreq request = request_for(bridge);
  request.ifr_ifindex = static_cast<int>(::if_nametoindex(port.c_str()));
  if (request.ifr_ifindex == 0) return fail(ErrorCode::not_found, "there is no network device " + port);
  const int error = control(SIOCBRADDIF, &request);
  if (error != EBUSY) return done(error, "join " + port + " to the bridge " + bridge);
  // A port of some bridge; moving it makes sure that it is this one.
  if (!leave_bridges(request.ifr_ifindex, bridge)) return {};
  return done(control(SIOCBRADDIF, &request), "join " + port + " to the bridge " + bridge);
}

void leave_bridge(const std::string& port) {
  const auto index = static_cast<int>(::if_nametoindex(port.c_str()));
  if (index != 0) leave_bridges(index, {});
}

Result<void> try_to_make_bridge() {
  // No network's: theirs have the letters of an id.
  const std::string name = "gn-probe";
  if (auto made = make_bridge(name, "02:67:00:00:00:00"); !made) return made;
  return delete_bridge(name);
}

Result<void> try_to_make_tap() {
  // The kernel puts a number in; it goes with its descriptor.
  const auto tap = open_tap("gtprobe%d");
  return tap ? Result<void>() : fail(tap.error());
}

Result<void> make_tap(const std::string& name, std::uint32_t uid) {
  const auto tap = open_tap(name);
  if (!tap) {
    // Its user holds it open: it is as it was made.
    if (tap.error().code == ErrorCode::conflict && link_exists(name)) return {};
    return fail(tap.error());
  }
  const unsigned long owner = uid;
  if (::ioctl(tap->get(), TUNSETOWNER, owner) != 0 || ::ioctl(tap->get(), TUNSETPERSIST, 1UL) != 0) {
    return fail(runtime::errno_error("cannot keep the tap " + name, errno));
  }
  return {};
}

Result<void> delete_tap(const std::string& name) {
  if (!link_exists(name)) return {};
  const auto tap = open_tap(name);
  if (tap && ::ioctl(tap->get(), TUNSETPERSIST, 0UL) == 0) return {};
  const auto deleted = runtime::run_process({.argv = {"ip", "link", "delete", "dev", name}, .timeout_ms = 10'000});
  if (!deleted && link_exists(name)) return fail(deleted.error());
  return {};
}

Result<void> set_sysctl(const std::string& name, const std::string& value, bool optional) {
  const std::string path = "/proc/sys/net/" + name;
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.valid() && optional && errno == ENOENT) return {};
  if (!file.valid() || ::write(file.get(), value.data(), value.size()) < 0) {
    return fail(runtime::errno_error("cannot set " + path, errno));
  }
  return {};
}

}  // namespace gantry::network
