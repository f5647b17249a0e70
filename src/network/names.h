// Names that reach the kernel, nft and dnsmasq. Everything is made here from ids, or checked here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "model/bridge_name.h"

namespace gantry::network {

// Also the name of its nft table.
using model::bridge_name;

// The same for a name at all times, and rarely for two.
std::uint32_t name_hash(std::string_view name);

// The bridge's own MAC address, always the same for a network, so that guests do not lose their gateway.
std::string bridge_mac(std::string_view network_id);

// The port of an overlay's or a VLAN's bridge that leads to other hosts: "gx-" or "gv-" and the letters of its id.
std::string overlay_device(std::string_view network_id);
std::string vlan_device(std::string_view network_id);

inline constexpr std::uint32_t kNicsMax = 32;
// "gt", the letters of the VM's id and one for `index` (below kNicsMax). Also the name of its nft chain.
std::string tap_name(std::string_view vm_id, std::uint32_t index);
// Whether `name` is a tap of that VM.
bool is_tap_of(std::string_view name, std::string_view vm_id);

// 1 to 15 of the letters that interface names have here: a-z, A-Z, 0-9, "-", "_" and "."; not "." or "..".
bool is_interface_name(std::string_view name);
}  // namespace gantry::network
