#include "network/vlan_rules.h"

#include "network/names.h"
#include "network/script.h"

namespace gantry::network {
namespace {

// That two VLANs have the same is unlikely and no harm to them.
unsigned zone_of(std::string_view bridge) { return kVlanZoneFirst + (name_hash(bridge) & 0x7fffU); }

}  // namespace

std::string vlan_rules(const std::string& bridge) {
  // What passes from port to port is not seen here.
  Script apart("netdev " + bridge);
  for (const std::string hook : {"ingress", "egress"}) {
    apart.chain(hook, "filter hook " + hook + " device " + quoted(bridge) + " priority 0");
    apart.rule(hook, "drop");
  }
  Script state("inet " + bridge);
  // Before conntrack, which else would take what it knows of another segment's addresses for this one's.
  state.chain("zone", "filter hook prerouting priority -301");
  state.rule("zone", "iifname " + quoted(bridge) + " ct zone set " + std::to_string(zone_of(bridge)));
  return apart.text() + state.text();
}

std::string vlan_removal(const std::string& bridge) {
  std::string text;
  for (const std::string family : {"netdev ", "inet "}) {
    text += "add table " + family + bridge + "\ndelete table " + family + bridge + "\n";
  }
  return text;
}

}  // namespace gantry::network
