#include "network/rules.h"

#include <charconv>

#include "model/network_kinds.h"
#include "model/uid.h"
#include "network/group_rules.h"
#include "network/overlay_rules.h"
#include "network/script.h"
#include "network/vlan_rules.h"

namespace gantry::network {
namespace {

void add_forward_maps(Script& script) {
  script.line("add map", "forwards { type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service; }");
  script.line("add map", "forwards_any { type inet_proto . inet_service : ipv4_addr . inet_service; }");
}

std::string forward_key(const Forward& forward) {
  const std::string protocol = forward.udp ? "udp" : "tcp";
  const std::string port = std::to_string(forward.host_port);
  if (forward.host_address.value == 0) return protocol + " . " + port;
  return protocol + " . " + model::format_ipv4(forward.host_address) + " . " + port;
}

std::string forward_map(const Forward& forward) {
  return forward.host_address.value == 0 ? "forwards_any" : "forwards";
}

std::string forward_element(const Forward& forward, model::Ipv4Address guest) {
  return forward_map(forward) + " { " + forward_key(forward) + " : " + model::format_ipv4(guest) + " . " +
         std::to_string(forward.guest_port) + " }";
}

void add_translation(Script& script, const NatPlan& plan) {
  const std::string bridge = quoted(plan.bridge);
  const std::string subnet = model::format_ipv4_subnet(plan.subnet);
  // From outside, nothing addressed to 127.0.0.0/8 may be translated: that would lead around the kernel's own check.
  script.chain("prerouting", "nat hook prerouting priority -100");
  script.rule("prerouting", "ip daddr 127.0.0.0/8 return");
  script.rule("prerouting", "dnat ip to meta l4proto . ip daddr . th dport map @forwards");
  script.rule("prerouting", "fib daddr type local dnat ip to meta l4proto . th dport map @forwards_any");
  script.chain("output", "nat hook output priority -100");
  script.rule("output", "dnat ip to meta l4proto . ip daddr . th dport map @forwards");
  script.rule("output", "fib daddr type local dnat ip to meta l4proto . th dport map @forwards_any");
  script.chain("postrouting", "nat hook postrouting priority 100");
  script.rule("postrouting", "oifname " + bridge + " ip saddr 127.0.0.0/8 masquerade");
  script.rule("postrouting", "oifname " + bridge + " ip saddr " + subnet + " ct status dnat masquerade");
  script.rule("postrouting", "oifname != " + bridge + " ip saddr " + subnet + " ip daddr != " + subnet + " masquerade");
}

void add_filters(Script& script, const NatPlan& plan) {
  const std::string bridge = quoted(plan.bridge);
  // route_localnet is on for forwards from 127.0.0.1, so guests must be kept from the host's loopback services here.
  script.chain("raw", "filter hook prerouting priority -300");
  script.rule("raw", "iifname " + bridge + " ip daddr 127.0.0.0/8 drop");
  script.rule("raw", "iifname " + bridge + " ip saddr 127.0.0.0/8 drop");
  // Guests' addresses come from the bridge. From elsewhere, sent on by this host, such a packet would be the beginning
  // of a connection whose answers come in by the translation. A VLAN, which may have the same addresses, is none of
  // this network's, nor are its packets routed; which its are conntrack says (-200).
  script.chain("strangers", "filter hook prerouting priority -150");
  script.rule("strangers", "ct zone >= " + std::to_string(kVlanZoneFirst) + " return");
  script.rule("strangers",
              "iifname != { " + bridge + ", \"lo\" } ip saddr " + model::format_ipv4_subnet(plan.subnet) + " drop");
  script.chain("forward", "filter hook forward priority 0");
  script.rule("forward", "iifname " + bridge + " oifname " + bridge + " accept");
  script.rule("forward", "oifname " + bridge + " ct state established,related accept");
  script.rule("forward", "oifname " + bridge + " ct status dnat accept");
  script.rule("forward", "oifname " + bridge + " reject with icmpx admin-prohibited");
  script.rule("forward", "iifname " + bridge + " ip saddr != " + model::format_ipv4_subnet(plan.subnet) + " drop");
  script.rule("forward", "iifname " + bridge + " meta nfproto ipv6 drop");
  const std::string gateway = model::format_ipv4(plan.gateway);
  script.chain("input", "filter hook input priority 0");
  script.rule("input", "iifname != " + bridge + " return");
  script.rule("input", "ct state established,related accept");
  script.rule("input", "udp dport 67 accept");
  script.rule("input", "ip daddr " + gateway + " meta l4proto { tcp, udp } th dport 53 accept");
  script.rule("input", "icmp type echo-request accept");
  script.rule("input", "reject with icmpx admin-prohibited");
}

void add_ipv4_guard(Script& script, const NicPlan& nic) {
  if (!nic.ipv4) return;
  const std::string address = model::format_ipv4(*nic.ipv4);
  script.rule(nic.tap, "arp saddr ip != { 0.0.0.0, " + address + " } drop");
  script.rule(nic.tap, "ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept");
  script.rule(nic.tap, "ip saddr != " + address + " drop");
}

std::string with_colons(const std::string& digits) {
  std::string address;
  for (std::size_t i = 0; i < digits.size(); i += 4) address += (i == 0 ? "" : ":") + digits.substr(i, 4);
  return address;
}

void add_ipv6_guard(Script& script, const NicPlan& nic) {
  script.rule(nic.tap, "icmpv6 type { nd-router-advert, nd-redirect } drop");
  // A network of ours has no IPv6 beyond the link; on a foreign one the guest's other addresses are not known.
  if (!model::has_gateway(nic.kind)) return;
  // A first piece need not hold what the rules look at; on such a link nothing large is sent in pieces.
  script.rule(nic.tap, "exthdr frag exists drop");
  const std::string digits = link_local_digits(nic.mac);
  script.rule(nic.tap, "ip6 saddr != { ::, " + with_colons(digits) + " } drop");
  // The target address of a neighbour advertisement (RFC 4861, 4.4): 8 bytes into the ICMPv6 message.
  script.rule(nic.tap, "icmpv6 type nd-neighbor-advert @th,64,128 != 0x" + digits + " drop");
}

void add_guard(Script& script, const NicPlan& nic) {
  script.line("add map", "guests { type ifname : verdict; }");
  script.chain("prerouting", "filter hook prerouting priority -300");
  script.rule("prerouting", "iifname vmap @guests");
  script.chain(nic.tap);
  if (!nic.allow_spoofing) {
    script.rule(nic.tap, "ether saddr != " + nic.mac + " drop");
    script.rule(nic.tap, "ether type != { arp, ip, ip6 } drop");
    script.rule(nic.tap, "arp saddr ether != " + nic.mac + " drop");
    add_ipv4_guard(script, nic);
    // What only servers of DHCP and DHCPv6 send.
    script.rule(nic.tap, "udp dport { 68, 546 } drop");
    add_ipv6_guard(script, nic);
  }
  script.line("add element", "guests { " + quoted(nic.tap) + " : jump " + nic.tap + " }");
}

}  // namespace

std::string link_local_digits(const std::string& mac) {
  unsigned first = 0;
  std::from_chars(mac.data(), mac.data() + 2, first, 16);
  // EUI-64 turns the bit around that says who gave the address.
  first ^= 2U;
  const std::string digits = {"0123456789abcdef"[first >> 4U & 0xfU], "0123456789abcdef"[first & 0xfU]};
  return "fe80000000000000" + digits + mac.substr(3, 2) + mac.substr(6, 2) + "fffe" + mac.substr(9, 2) +
         mac.substr(12, 2) + mac.substr(15, 2);
}

std::string network_rules(const NatPlan& plan) {
  Script script("inet " + plan.bridge);
  add_forward_maps(script);
  add_translation(script, plan);
  add_filters(script, plan);
  return script.text() + (plan.overlay ? overlay_rules(plan) : "");
}

// Adding first makes the removal of what is not there succeed.
std::string network_removal(const NatPlan& plan) {
  return "add table inet " + plan.bridge + "\ndelete table inet " + plan.bridge + "\n" +
         (plan.overlay ? overlay_removal(plan) : "");
}

std::string nic_rules(const NicPlan& nic) {
  Script guard("bridge gantry");
  add_guard(guard, nic);
  const std::string text = guard.text() + group_rules(nic);
  if (!model::has_gateway(nic.kind) || nic.forwards.empty()) return text;
  Script script("inet " + nic.bridge);
  add_forward_maps(script);
  for (const auto& forward : nic.forwards) script.line("add element", forward_element(forward, *nic.ipv4));
  return text + script.text();
}

std::string nic_removal(const NicPlan& nic) {
  Script guard("bridge gantry");
  guard.line("add map", "guests { type ifname : verdict; }");
  guard.line("add chain", nic.tap);
  guard.line("add element", "guests { " + quoted(nic.tap) + " : jump " + nic.tap + " }");
  guard.line("delete element", "guests { " + quoted(nic.tap) + " }");
  guard.line("flush chain", nic.tap);
  guard.line("delete chain", nic.tap);
  const std::string text = guard.text() + group_removal(nic);
  if (!model::has_gateway(nic.kind) || nic.forwards.empty()) return text;
  Script script("inet " + nic.bridge);
  add_forward_maps(script);
  for (const auto& forward : nic.forwards) {
    script.line("add element", forward_element(forward, *nic.ipv4));
    script.line("delete element", forward_map(forward) + " { " + forward_key(forward) + " }");
  }
  return text + script.text();
}

std::string loopback_guard() {
  const std::string users =
      std::to_string(model::kGuestUidFirst) + "-" + std::to_string(model::kGuestUidFirst + model::kGuestUidCount - 1);
  Script script(kLoopbackGuard);
  script.chain("guests");
  // Forwarded ports: those who connected from the loopback get their answers.
  script.rule("guests", "ct state established,related return");
  // The host's resolver may be there, and QEMU asks it for its guest.
  script.rule("guests", "meta l4proto { tcp, udp } th dport 53 return");
  script.rule("guests", "ip daddr 127.0.0.0/8 reject with icmpx admin-prohibited");
  script.rule("guests", "ip6 daddr ::1 reject with icmpx admin-prohibited");
  script.chain("output", "filter hook output priority 0");
  script.rule("output", "meta skuid " + users + " jump guests");
  return script.text();
}

std::string loopback_guard_removal() {
  const std::string table = kLoopbackGuard;
  return "add table " + table + "\ndelete table " + table + "\n";
}

std::string guard_removal() { return "add table bridge gantry\ndelete table bridge gantry\n" + group_state_removal(); }

}  // namespace gantry::network
