// The driver's part for networks that are on every host, and for security groups.
#include <algorithm>

#include "network/devices.h"
#include "network/driver.h"
#include "network/group_rules.h"
#include "network/links.h"
#include "network/names.h"
#include "network/overlay_rules.h"
#include "network/rules.h"
#include "network/vlan_rules.h"

namespace gantry::network {
namespace {

// Outer Ethernet, IPv4, UDP and VXLAN.
constexpr unsigned kOverlayHeadBytes = 50;

tl::unexpected<Error> cannot(const v1::Network& network, ErrorCode code, const std::string& cause,
                             const std::string& next_step, const std::string& reason) {
  return fail(code, "cannot have network \"" + network.meta().name() + "\" on this host", cause, next_step, reason);
}

}  // namespace

Result<void> Driver::rejoin(const std::string& bridge) {
  bool filtered = false;
  for (const auto& [key, nic] : nics_.all()) {
    if (nic.bridge != bridge || nic.tap.empty() || !link_exists(nic.tap)) continue;
    if (auto joined = add_bridge_port(bridge, nic.tap); !joined) return joined;
    filtered = filtered || nic.filter.has_value();
  }
  return filtered ? track_bridge_connections(bridge) : Result<void>();
}

// Overlays and VLANs of which something is gone, or of which the host's own address has changed.
std::vector<v1::Network> Driver::lost_segments() const {
  std::vector<v1::Network> lost;
  for (const auto& [id, network] : segments_) {
    const auto ensured = ensured_.find(id);
    const bool whole = ensured == ensured_.end() ? link_exists(bridge_name(id)) && link_exists(vlan_device(id))
                                                 // A bridge that is not as it was made is for the next who asks for it.
                                                 : link_address(ensured->second.bridge) != ensured->second.gateway ||
                                                       is_joined(*ensured->second.overlay);
    if (!whole) lost.push_back(network);
  }
  return lost;
}

bool Driver::is_joined(const OverlayPlan& overlay) const {
  const auto local = model::parse_ipv4(options_.host_address ? options_.host_address() : "");
  return link_exists(overlay.device) && (!local || *local == overlay.local);
}

Result<NatPlan> Driver::plan_of(const v1::Network& network) {
  auto plan = plan_nat(network);
  if (!plan || network.spec().kind() != v1::NetworkSpec::OVERLAY) return plan;
  if (auto joined = plan_overlay(network, *plan); !joined) return fail(joined.error());
  return plan;
}

Result<void> Driver::plan_overlay(const v1::Network& network, NatPlan& plan) {
  const v1::NetworkSpec& spec = network.spec();
  const std::string address = options_.host_address ? options_.host_address() : "";
  const auto local = model::parse_ipv4(address);
  if (!local) {
    return cannot(network, ErrorCode::unavailable,
                  address.empty() ? "no address of this host is known that other hosts reach it at"
                                  : "its address " + address + " is not IPv4",
                  "start the manager with --link-listen, and let hosts join at an IPv4 address", "no_host_address");
  }
  const auto underlay = device_of(*local);
  const auto outer_mtu = underlay ? link_mtu(*underlay) : Result<unsigned>(fail(ErrorCode::not_found, "no device"));
  if (!outer_mtu) {
    return cannot(network, ErrorCode::unavailable, "no interface has this host's address " + address,
                  "see \"ip address\"", "no_host_address");
  }
  const unsigned fits = *outer_mtu - std::min(*outer_mtu, kOverlayHeadBytes);
  if (spec.vni() == 0 || spec.vni() >= 1U << 24U || spec.mtu() > fits) {
    return cannot(network, ErrorCode::invalid_argument,
                  spec.mtu() > fits ? "its MTU of " + std::to_string(spec.mtu()) + " needs one of " +
                                          std::to_string(spec.mtu() + kOverlayHeadBytes) + " on " + *underlay +
                                          ", which has " + std::to_string(*outer_mtu)
                                    : "it has no number (VNI)",
                  "make the network anew with a smaller MTU, or none", "mtu_too_large");
  }
  if (plan.mtu == 0) plan.mtu = fits;
  OverlayPlan& overlay = plan.overlay.emplace();
  overlay.vni = spec.vni();
  overlay.device = overlay_device(plan.network_id);
  overlay.local = *local;
  // Until this daemon is told anew, what one before it was told holds on.
  if (!overlays_.contains(plan.network_id) && link_exists(overlay.device)) {
    if (auto state = read_overlay_entries(overlay.device)) overlays_[plan.network_id] = std::move(*state);
  }
  if (const auto known = overlays_.find(plan.network_id); known != overlays_.end()) {
    overlay.peers = known->second.flooded;
  }
  return {};
}

Result<void> Driver::build_overlay(const NatPlan& plan) {
  const std::string& device = plan.overlay->device;
  if (auto made = make_vxlan(device, plan.overlay->vni, plan.overlay->local); !made) return made;
  if (auto set = set_sysctl("ipv6/conf/" + device + "/disable_ipv6", "1", true); !set) return set;
  if (auto set = set_link_mtu(device, plan.mtu); !set) return set;
  if (auto joined = add_bridge_port(plan.bridge, device); !joined) return joined;
  if (auto set = set_port_learning_off(device); !set) return set;
  if (auto up = set_link_up(device, true); !up) return up;
  const auto known = overlays_.find(plan.network_id);
  return known == overlays_.end() ? Result<void>() : set_overlay_entries(device, known->second);
}

// What is let in comes first, so that nobody is answered whom nobody hears.
Result<void> Driver::set_overlay(const v1::Network& network, const std::vector<v1::OverlayEntry>& entries) {
  const auto ensured = ensured_.find(network.meta().id());
  if (ensured == ensured_.end() || !ensured->second.overlay) {
    return cannot(network, ErrorCode::unavailable, "it is not made yet", "", "network_not_made");
  }
  NatPlan& plan = ensured->second;
  const OverlayState wanted = wanted_state(entries);
  overlays_[plan.network_id] = wanted;
  if (plan.overlay->peers != wanted.flooded) {
    plan.overlay->peers = wanted.flooded;
    if (auto changed = change_rules(overlay_peers(plan)); !changed) return changed;
  }
  return set_overlay_entries(plan.overlay->device, wanted);
}

Result<void> Driver::ensure_vlan(const VlanPlan& plan, const v1::Network& network) {
  if (!link_exists(plan.uplink)) {
    return cannot(network, ErrorCode::not_found, "there is no interface \"" + plan.uplink + "\"",
                  "name the uplink alike on all hosts, or have its guests on others", "no_such_uplink");
  }
  const bool fresh = !link_exists(plan.bridge);
  auto built = build_vlan(plan);
  // What failed is said; that the clearing fails too adds nothing.
  if (!built && fresh) static_cast<void>(tear_down_vlan(network.meta().id()));
  return built;
}

Result<void> Driver::tear_down_vlan(const std::string& network_id) {
  if (auto gone = delete_device(vlan_device(network_id)); !gone) return gone;
  if (auto gone = delete_bridge(bridge_name(network_id)); !gone) return gone;
  return change_rules(vlan_removal(bridge_name(network_id)));
}

Result<void> Driver::build_vlan(const VlanPlan& plan) {
  const auto outer_mtu = link_mtu(plan.uplink);
  if (!outer_mtu) return fail(outer_mtu.error());
  const unsigned mtu = plan.mtu == 0 ? *outer_mtu : plan.mtu;
  if (auto made = make_bridge(plan.bridge, bridge_mac(plan.bridge)); !made) return made;
  if (auto made = make_vlan(plan.device, plan.uplink, plan.vlan); !made) return made;
  // This host is no part of the VLAN: nothing of it listens there.
  if (auto apart = change_rules(vlan_rules(plan.bridge)); !apart) return apart;
  for (const auto& device : {plan.bridge, plan.device}) {
    if (auto set = set_sysctl("ipv6/conf/" + device + "/disable_ipv6", "1", true); !set) return set;
    if (auto set = set_link_mtu(device, mtu); !set) return set;
  }
  if (auto joined = add_bridge_port(plan.bridge, plan.device); !joined) return joined;
  if (auto up = set_link_up(plan.device, true); !up) return up;
  if (auto up = set_link_up(plan.bridge, true); !up) return up;
  return rejoin(plan.bridge);
}

Result<void> Driver::set_groups(const port::NicRequest& request) {
  if (auto loaded = load(); !loaded) return loaded;
  const NicPlan* stored = nics_.find(request.vm_id, request.index);
  if (stored == nullptr) {
    if (!link_exists(tap_name(request.vm_id, request.index))) return {};
    const auto attached = attach(request);
    return attached ? Result<void>() : fail(attached.error());
  }
  const NicPlan before = *stored;
  NicPlan next = before;
  next.filter = plan_filter(request);
  if (next == before) return {};
  if (next.filter && next.tap.empty()) {
    return fail(ErrorCode::unsupported, "the security groups of VM " + request.vm_id + " cannot be held to",
                "its network is in user mode on this host", "take the groups away", "groups_not_held");
  }
  if (next.filter) {
    if (auto tracked = track_bridge_connections(next.bridge); !tracked) return tracked;
  }
  // Should this end here, the rules are made anew from the record.
  if (auto recorded = nics_.put(next); !recorded) return recorded;
  if (next.tap.empty()) return {};
  if (auto changed = change_rules(nic_removal(before) + nic_rules(next)); !changed) {
    // What was not applied must not count as done.
    static_cast<void>(nics_.put(before));
    return changed;
  }
  return {};
}

}  // namespace gantry::network
