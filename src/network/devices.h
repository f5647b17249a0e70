// Devices that lead from a bridge to other hosts, by iproute2. All calls block, need CAP_NET_ADMIN, act in the calling
// process's network namespace, and may be repeated.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "model/ipv4.h"

namespace gantry::network {

// The VXLAN device as it should be, down, a port of no bridge; one that differs is made anew. It learns nothing: where
// guests are is told (overlay_entries.h).
Result<void> make_vxlan(const std::string& device, std::uint32_t vni, model::Ipv4Address local);
// VLAN `vlan` of `uplink`, which stays as it is. unsupported "no_vlans" when the kernel makes none.
Result<void> make_vlan(const std::string& device, const std::string& uplink, std::uint16_t vlan);
// Fine when there is none.
Result<void> delete_device(const std::string& device);
// The bridge sends a port only what is for MAC addresses it was told of, and learns none from it.
Result<void> set_port_learning_off(const std::string& port);

// conntrack sees what passes the bridge, however br_netfilter is set for others; loads that where it is a module.
// unsupported "no_br_netfilter" when the kernel has none.
Result<void> track_bridge_connections(const std::string& bridge);

// The device that has that address; nothing when none has.
std::optional<std::string> device_of(model::Ipv4Address address);

}  // namespace gantry::network
