// Network devices by the kernel's ioctls: no helper program, so that attaching a NIC takes a few milliseconds.
// All calls need CAP_NET_ADMIN, act in the calling process's network namespace, and may be repeated.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/ipv4.h"

namespace gantry::network {

bool link_exists(const std::string& name);
std::vector<std::string> link_names();
bool is_bridge(const std::string& name);
// not_found when there is no such device.
Result<unsigned> link_mtu(const std::string& name);
Result<void> set_link_mtu(const std::string& name, unsigned mtu);
Result<void> set_link_up(const std::string& name, bool up);
std::optional<model::Ipv4Address> link_address(const std::string& name);

// Down, with this MAC address for good. `mac` was checked by model::parse_mac.
Result<void> make_bridge(const std::string& name, const std::string& mac);
Result<void> delete_bridge(const std::string& name);
Result<void> set_link_address(const std::string& name, model::Ipv4Address address, const model::Ipv4Subnet& subnet);
// Fine when it is that bridge's port already.
Result<void> add_bridge_port(const std::string& bridge, const std::string& port);
// Fine when it is none's port, or not there.
void leave_bridge(const std::string& port);

// Make such a device and take it away at once: whether the kernel lets us. A bridge that a crash left in between goes
// with the next try.
Result<void> try_to_make_bridge();
Result<void> try_to_make_tap();

// A tap that stays until deleted, that only `uid` may open beside root, with virtio headers. Fine when it exists, in
// use or not.
Result<void> make_tap(const std::string& name, std::uint32_t uid);
// Fine when there is none. Its user, if any, is cut off.
Result<void> delete_tap(const std::string& name);

// Writes /proc/sys/net/`name`. Fine when the kernel has no such setting and `optional`.
Result<void> set_sysctl(const std::string& name, const std::string& value, bool optional = false);

}  // namespace gantry::network
