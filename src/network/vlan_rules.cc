#include "network/vlan_rules.h"

#include "network/script.h"

namespace gantry::network {

std::string vlan_rules(const std::string& bridge) {
  // What passes from port to port is not seen here.
  Script apart("netdev " + bridge);
  for (const std::string hook : {"ingress", "egress"}) {
    apart.chain(hook, "filter hook " + hook + " device " + quoted(bridge) + " priority 0");
    apart.rule(hook, "drop");
  }
  return apart.text();
}

std::string vlan_removal(const std::string& bridge) {
  return "add table netdev " + bridge + "\ndelete table netdev " + bridge + "\n";
}

}  // namespace gantry::network
