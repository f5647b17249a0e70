// The work behind HostNetwork, done at once in the calling thread.
//
// What runs: for a NAT network a bridge with the first address of its subnet, its nft table and its dnsmasq; for each
// NIC a tap, its nft chain, its lines for dnsmasq and a record (nic_store.h). Guests of a NAT network reach each other,
// the outside by address translation, and of the host itself only DHCP, DNS and ping; nobody reaches them but the host
// and by port forwards. `ip_forward` is switched on and stays on. While there is a network in user mode, an nft
// table keeps guests' processes from the host's loopback.
//
// An overlay is a NAT network on every host, whose bridges are joined by a VXLAN device on each (overlay_rules.h,
// overlay_entries.h). A VLAN is a bridge that has the VLAN of the host's uplink for a port, and that its host itself is
// no part of (vlan_rules.h).
//
// For one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "network/dnsmasq.h"
#include "network/nic_store.h"
#include "network/overlay_entries.h"
#include "port/network.h"

namespace gantry::network {

struct DriverOptions {
  // False: every network is in user mode, and the host is left as it is.
  bool may_change_host = true;
  // The host's resolvers; empty: /etc/resolv.conf.
  std::string resolv_file = {};
  // This host's address among hosts, which overlays are joined by; may be empty, and change. From any thread.
  std::function<std::string()> host_address = {};
};

class Driver {
 public:
  // `state_directory` and those above it must let everybody enter (mode o+x): dnsmasq reads its files there.
  Driver(std::string state_directory, DriverOptions options);

  // conflict "subnet_in_use", not_found "no_such_bridge", "no_such_uplink", "dns_port_in_use"...
  Result<port::NetworkFacts> ensure_network(const v1::Network& network);
  // conflict "network_in_use" while NICs are attached.
  Result<void> remove_network(const v1::Network& network);
  // Of an overlay that was ensured.
  Result<void> set_overlay(const v1::Network& network, const std::vector<v1::OverlayEntry>& entries);
  // conflict "port_in_use", "address_not_here"; what ensure_network says.
  Result<port::GuestNic> attach(const port::NicRequest& request);
  // Of a NIC that is not attached: nothing; but one whose record was lost is attached anew. unsupported
  // "groups_not_held", "no_br_netfilter".
  Result<void> set_groups(const port::NicRequest& request);
  Result<void> detach(const std::string& vm_id);
  // Starts what died of the networks ensured so far, and puts firewall rules back that were flushed.
  void revive();

 private:
  Result<void> load();
  // Empty when that kind can be had.
  std::string reason_against(v1::NetworkSpec::Kind kind);
  port::NetworkFacts ensure_user(const std::string& network_id, std::string reason);
  // Why guests in user mode cannot be kept from the host's loopback; empty: they are.
  std::string guard_loopback(const std::string& network_id);
  Result<void> leave_loopback(const std::string& network_id);
  [[nodiscard]] std::string directory_of(const std::string& network_id) const;
  [[nodiscard]] Dnsmasq dnsmasq_of(const NatPlan& plan) const;
  Result<void> ensure_nat(const NatPlan& plan);
  Result<void> build_nat(const NatPlan& plan);
  Result<void> tear_down(const NatPlan& plan);
  // The plan of a network of kind NAT or OVERLAY.
  Result<NatPlan> plan_of(const v1::Network& network);
  // The outer part of an overlay: local address, MTU.
  Result<void> plan_overlay(const v1::Network& network, NatPlan& plan);
  // Joins the bridge to other hosts.
  Result<void> build_overlay(const NatPlan& plan);
  // Guests' taps that are there are ports of that bridge, whoever made it anew.
  Result<void> rejoin(const std::string& bridge);
  Result<void> ensure_vlan(const VlanPlan& plan, const v1::Network& network);
  Result<void> build_vlan(const VlanPlan& plan);
  Result<void> tear_down_vlan(const std::string& network_id);
  Result<void> ensure_kind(const v1::Network& network);
  Result<void> make_kind(const v1::Network& network);
  [[nodiscard]] std::vector<v1::Network> lost_segments() const;
  // Its way to other hosts is there, from the address that this host has now.
  [[nodiscard]] bool is_joined(const OverlayPlan& overlay) const;
  [[nodiscard]] bool is_whole(const NatPlan& plan) const;
  Result<void> prepare(const NicPlan& nic, const v1::Network& network);
  Result<void> put(const NicPlan& nic, const NicPlan* before);
  Result<void> take_away(const std::vector<NicPlan>& nics);

  struct Rules {
    std::set<std::string> tables;
    std::string text;
  };
  // Of the networks ensured and of all NICs that have their tap.
  [[nodiscard]] Rules wanted_rules() const;
  // Puts back what was flushed.
  Result<void> restore_rules();
  Result<void> change_rules(const std::string& rules);

  std::string state_directory_;
  DriverOptions options_;
  NicStore nics_;
  std::map<std::string, NatPlan> ensured_;
  // Overlays and VLANs as they were asked for, to be made anew when something of them is lost.
  std::map<std::string, v1::Network> segments_;
  // By network, where guests on other hosts are.
  std::map<std::string, OverlayState> overlays_;
  // Networks in user mode whose guests are kept from the host's loopback.
  std::set<std::string> guarded_;
  std::map<v1::NetworkSpec::Kind, bool> allowed_;
  // The number of the firewall's ruleset when ours was last known to be in it.
  std::optional<std::uint32_t> generation_;
  // Whether it is whole is not known.
  bool doubtful_ = true;
};

}  // namespace gantry::network
