#include "network/group_rules.h"

#include "model/network_kinds.h"
#include "network/script.h"

namespace gantry::network {
namespace {

// Bits of the packet's mark that are left to us by those who are known to use some (Kubernetes, Calico, Tailscale).
// It answers to what was let through.
constexpr char kAnswers[] = "0x08000000";
// It came from the tap whose address it has.
constexpr char kOwn[] = "0x04000000";
constexpr char kOthers[] = "0xf3ffffff";

std::string in_chain(const NicPlan& nic) { return "in-" + nic.tap; }
std::string out_chain(const NicPlan& nic) { return "out-" + nic.tap; }

std::string protocol_match(const FilterRule& rule) {
  switch (rule.protocol) {
    case v1::SecurityRule::TCP: return "meta l4proto tcp ";
    case v1::SecurityRule::UDP: return "meta l4proto udp ";
    case v1::SecurityRule::ICMP: return "meta l4proto { icmp, icmpv6 } ";
    default: return "";
  }
}

std::string port_match(const FilterRule& rule) {
  const bool has_ports = rule.protocol == v1::SecurityRule::TCP || rule.protocol == v1::SecurityRule::UDP;
  if (!has_ports || (rule.port == 0 && rule.port_last == 0)) return "";
  const std::string last = rule.port_last > rule.port ? "-" + std::to_string(rule.port_last) : "";
  return "th dport " + std::to_string(rule.port) + last + " ";
}

std::string peer_match(const FilterRule& rule) {
  if (rule.peers.empty()) return "";
  std::string list;
  for (const auto& peer : rule.peers) list += (list.empty() ? "" : ", ") + peer;
  return std::string(rule.ingress ? "ip saddr" : "ip daddr") + " { " + list + " } ";
}

void add_rules(Script& script, const std::string& chain, const NicPlan& nic, bool ingress,
               const std::string& verdict = "accept") {
  for (const auto& rule : *nic.filter) {
    if (rule.ingress == ingress)
      script.rule(chain, protocol_match(rule) + port_match(rule) + peer_match(rule) + verdict);
  }
  script.rule(chain, "drop");
}

std::string place_of(const NicPlan& nic) { return quoted(nic.bridge) + " . " + model::format_ipv4(*nic.ipv4); }
std::string owned_element(const NicPlan& nic) { return "owned { " + place_of(nic) + " }"; }

std::string is_answer() { return std::string("meta mark & ") + kAnswers + " != 0 accept"; }

// A guest without an address asks everybody; later only the network's own server, where it is known which that is.
std::string asks_dhcp(const NicPlan& nic) {
  const std::string server = nic.gateway ? ", " + model::format_ipv4(*nic.gateway) : "";
  return "ip daddr { 255.255.255.255" + server + " } udp sport 68 udp dport 67 accept";
}
std::string is_told_by_dhcp(const NicPlan& nic) {
  const std::string server = nic.gateway ? "ip saddr " + model::format_ipv4(*nic.gateway) + " " : "";
  return server + "udp sport 67 udp dport 68 accept";
}

// Without these a guest finds neither its address nor its neighbours.
void add_leaving(Script& script, const NicPlan& nic) {
  const std::string chain = out_chain(nic);
  script.chain(chain);
  script.rule(chain, "ether type arp accept");
  script.rule(chain, is_answer());
  script.rule(chain, asks_dhcp(nic));
  script.rule(chain,
              "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, mld-listener-report, "
              "mld2-listener-report } accept");
  add_rules(script, chain, nic, false);
}

void add_arriving(Script& script, const NicPlan& nic) {
  const std::string chain = in_chain(nic);
  script.chain(chain);
  script.rule(chain, "ether type arp accept");
  script.rule(chain, is_answer());
  script.rule(chain, is_told_by_dhcp(nic));
  script.rule(chain,
              "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert, mld-listener-query } accept");
  add_rules(script, chain, nic, true);
}

void add_mark(Script& script, const std::string& chain, const std::string& interface) {
  const std::string set = interface + " @bridges ";
  script.rule(chain, set + "meta mark set meta mark & " + kOthers);
  script.rule(chain, set + "ct state related meta mark set meta mark | " + kAnswers);
  script.rule(chain, set + "ct state established ct direction reply meta mark set meta mark | " + kAnswers);
}

// Whoever could send in the guest's name would make connections for others to answer to.
void add_own(Script& script, const NicPlan& nic) {
  script.line("add set", "owned { type ifname . ipv4_addr; }");
  // After fragments were put together, and before conntrack.
  script.chain("own", "filter hook prerouting priority -250");
  script.rule("own", std::string("iifname . ip saddr @owned meta mark & ") + kOwn + " == 0 drop");
  if (nic.ipv4) script.line("add element", owned_element(nic));
}

// What this host sends or forwards has been told to conntrack before it comes to the bridge: it is refused here, before
// that, or else the guest could answer to it.
std::string known_element(const NicPlan& nic) { return "known { " + place_of(nic) + " : jump " + in_chain(nic) + " }"; }
bool is_known(const NicPlan& nic) { return nic.ipv4 && model::has_gateway(nic.kind); }

void add_state(Script& script, const NicPlan& nic) {
  script.line("add set", "bridges { type ifname; }");
  script.line("add map", "known { type ifname . ipv4_addr : verdict; }");
  script.chain("prerouting", "filter hook prerouting priority -150");
  add_mark(script, "prerouting", "iifname");
  script.chain("postrouting", "filter hook postrouting priority 150");
  add_mark(script, "postrouting", "oifname");
  script.rule("postrouting", "oifname . ip daddr vmap @known");
  script.line("add element", "bridges { " + quoted(nic.bridge) + " }");
  if (!is_known(nic)) return;
  const std::string chain = in_chain(nic);
  script.chain(chain);
  script.rule(chain, is_answer());
  script.rule(chain, is_told_by_dhcp(nic));
  // Its pieces, if it is cut up before it comes to the bridge, do not show their ports there.
  add_rules(script, chain, nic, true, std::string("meta mark set meta mark | ") + kAnswers + " accept");
  script.line("add element", known_element(nic));
}

void remove_chain(Script& script, const std::string& name) {
  script.line("add chain", name);
  script.line("flush chain", name);
  script.line("delete chain", name);
}

}  // namespace

std::string group_rules(const NicPlan& nic) {
  if (!nic.filter) return "";
  Script bridge("bridge gantry");
  bridge.line("add map", "leaving { type ifname : verdict; }");
  bridge.line("add map", "arriving { type ifname : verdict; }");
  // After br_netfilter (0) has shown the packet to conntrack; and before it shows it to conntrack's last hook, so that
  // what is dropped never becomes a connection.
  bridge.chain("filter_leaving", "filter hook prerouting priority 100");
  bridge.rule("filter_leaving", "iifname vmap @leaving");
  bridge.chain("filter_arriving", "filter hook postrouting priority 0");
  bridge.rule("filter_arriving", "oifname vmap @arriving");
  add_leaving(bridge, nic);
  add_arriving(bridge, nic);
  bridge.line("add element", "leaving { " + quoted(nic.tap) + " : jump " + out_chain(nic) + " }");
  bridge.line("add element", "arriving { " + quoted(nic.tap) + " : jump " + in_chain(nic) + " }");
  // To the chain of the guard, whose verdict it does not touch.
  if (nic.ipv4) bridge.rule(nic.tap, std::string("ether type ip meta mark set meta mark | ") + kOwn);
  Script state(kGroupState);
  add_own(state, nic);
  add_state(state, nic);
  return bridge.text() + state.text();
}

std::string group_removal(const NicPlan& nic) {
  if (!nic.filter) return "";
  Script bridge("bridge gantry");
  for (const auto& [map, chain] : {std::pair{"leaving", out_chain(nic)}, std::pair{"arriving", in_chain(nic)}}) {
    bridge.line("add map", std::string(map) + " { type ifname : verdict; }");
    bridge.line("add chain", chain);
    bridge.line("add element", std::string(map) + " { " + quoted(nic.tap) + " : jump " + chain + " }");
    bridge.line("delete element", std::string(map) + " { " + quoted(nic.tap) + " }");
    remove_chain(bridge, chain);
  }
  if (!nic.ipv4) return bridge.text();
  Script state(kGroupState);
  state.line("add set", "owned { type ifname . ipv4_addr; }");
  state.line("add element", owned_element(nic));
  state.line("delete element", owned_element(nic));
  if (!is_known(nic)) return bridge.text() + state.text();
  state.line("add map", "known { type ifname . ipv4_addr : verdict; }");
  state.line("add chain", in_chain(nic));
  state.line("add element", known_element(nic));
  state.line("delete element", "known { " + place_of(nic) + " }");
  remove_chain(state, in_chain(nic));
  return bridge.text() + state.text();
}

std::string group_state_removal() {
  const std::string table = kGroupState;
  return "add table " + table + "\ndelete table " + table + "\n";
}

}  // namespace gantry::network
