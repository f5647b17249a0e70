// Which MAC address is behind which host, as an overlay's bridge and its VXLAN device have it.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "gantry/v1/link.pb.h"

namespace gantry::network {

struct OverlayState {
  // By MAC address, the host; of one that the bridge knows to be behind the device, and the device behind whom.
  std::map<std::string, std::string> hosts;
  // MAC addresses that the bridge sends to the device.
  std::set<std::string> bridged;
  // Hosts that get what is for everybody, and for nobody known.
  std::set<std::string> flooded;
  bool operator==(const OverlayState&) const = default;
};

// Entries with a MAC address or an address that is none are left out.
OverlayState wanted_state(const std::vector<v1::OverlayEntry>& entries);
// What `bridge -json fdb show dev DEVICE` says.
Result<OverlayState> parse_state(std::string_view json);
// For `bridge -force -batch -`; empty: nothing.
std::string state_changes(const std::string& device, const OverlayState& is, const OverlayState& wanted);

// As the device and its bridge have it.
Result<OverlayState> read_overlay_entries(const std::string& device);
// Makes it so. A few milliseconds, of which guests notice nothing but where others are.
Result<void> set_overlay_entries(const std::string& device, const OverlayState& wanted);

}  // namespace gantry::network
