#include "network/overlay_rules.h"

#include "network/names.h"
#include "network/script.h"

namespace gantry::network {
namespace {

void set_peers(Script& script, const NatPlan& plan) {
  script.line("add set", "peers { type ipv4_addr; }");
  script.line("flush set", "peers");
  std::string list;
  for (const auto& peer : plan.overlay->peers) list += (list.empty() ? "" : ", ") + peer;
  if (!list.empty()) script.line("add element", "peers { " + list + " }");
}

void add_crossing(Script& script, const NatPlan& plan) {
  const std::string mac = bridge_mac(plan.network_id);
  const std::string gateway = model::format_ipv4(plan.gateway);
  script.chain("crossing");
  script.rule("crossing", "ether saddr " + mac + " drop");
  script.rule("crossing", "ether daddr " + mac + " drop");
  script.rule("crossing", "arp saddr ip " + gateway + " drop");
  script.rule("crossing", "arp daddr ip " + gateway + " drop");
  script.rule("crossing", "ip saddr " + gateway + " drop");
  script.rule("crossing", "udp dport { 67, 68, 546, 547 } drop");
  script.rule("crossing", "icmpv6 type { nd-router-advert, nd-redirect } drop");
  script.chain("prerouting", "filter hook prerouting priority -310");
  script.rule("prerouting", "iifname " + quoted(plan.overlay->device) + " jump crossing");
  script.chain("postrouting", "filter hook postrouting priority -10");
  script.rule("postrouting", "oifname " + quoted(plan.overlay->device) + " jump crossing");
}

}  // namespace

std::string overlay_rules(const NatPlan& plan) {
  Script underlay("inet " + plan.bridge);
  set_peers(underlay, plan);
  underlay.chain("underlay", "filter hook input priority -10");
  // The number of the network is behind the 8 bytes of UDP and 4 of VXLAN.
  underlay.rule("underlay", "udp dport " + std::to_string(kVxlanPort) + " @th,96,24 " +
                                std::to_string(plan.overlay->vni) + " ip saddr != @peers drop");
  Script bridge("bridge " + plan.bridge);
  add_crossing(bridge, plan);
  return underlay.text() + bridge.text();
}

std::string overlay_removal(const NatPlan& plan) {
  return "add table bridge " + plan.bridge + "\ndelete table bridge " + plan.bridge + "\n";
}

std::string overlay_peers(const NatPlan& plan) {
  Script script("inet " + plan.bridge);
  set_peers(script, plan);
  return script.text();
}

}  // namespace gantry::network
