// What keeps a VLAN's bridge apart from its host, as text for nft; applied as rules.h says.
#pragma once

#include <string>

namespace gantry::network {

// For a bridge that is there.
//
// Each VLAN has a conntrack zone of its own, from kVlanZoneFirst on. (On networks with packets that this host routes or
// translates, those would not be known again where they leave.)
//
// The kernel answers for all addresses of this host on each of its devices, those without an address too, and takes and
// routes what comes to them there. So the bridge hands nothing up, and nothing is sent into it from here.
inline constexpr unsigned kVlanZoneFirst = 0x8000;
std::string vlan_rules(const std::string& bridge);
std::string vlan_removal(const std::string& bridge);

}  // namespace gantry::network
