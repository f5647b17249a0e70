#include "network/driver.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>

#include "base/id.h"
#include "model/network_kinds.h"
#include "network/devices.h"
#include "network/generation.h"
#include "network/group_rules.h"
#include "network/links.h"
#include "network/names.h"
#include "network/occupied.h"
#include "network/ports.h"
#include "network/rights.h"
#include "network/rules.h"
#include "network/vlan_rules.h"
#include "runtime/process.h"

namespace gantry::network {
namespace {

constexpr Milliseconds kNftMs = 30'000;
constexpr char kMayNotChangeHost[] = "gantryd was told to leave this host's network as it is";

// One transaction.
Result<void> apply(const std::string& rules) {
  const auto applied = runtime::run_process({.argv = {"nft", "-f", "-"}, .input = rules, .timeout_ms = kNftMs});
  if (applied) return {};
  Error error = applied.error();
  error.summary = "cannot change the firewall: " + error.summary;
  return fail(std::move(error));
}

// As `nft list tables` writes them.
Result<std::set<std::string>> tables() {
  const auto listed = runtime::run_process({.argv = {"nft", "list", "tables"}, .timeout_ms = kNftMs});
  if (!listed) return fail(listed.error());
  std::set<std::string> lines;
  std::istringstream text(listed->out);
  for (std::string line; std::getline(text, line);) lines.insert(line);
  return lines;
}

NatPlan named_plan(const std::string& network_id, v1::NetworkSpec::Kind kind) {
  NatPlan plan{.network_id = network_id, .bridge = bridge_name(network_id), .subnet = {}, .gateway = {}, .domain = {}};
  if (kind == v1::NetworkSpec::OVERLAY) {
    plan.overlay = OverlayPlan{.vni = 0, .device = overlay_device(network_id), .local = {}};
  }
  return plan;
}

Result<void> check_bridge(const std::string& bridge, const v1::Network& network) {
  if (is_interface_name(bridge) && is_bridge(bridge)) return {};
  const bool other = is_interface_name(bridge) && link_exists(bridge);
  return fail(other ? ErrorCode::conflict : ErrorCode::not_found,
              "cannot use network \"" + network.meta().name() + "\" on this host",
              other ? "\"" + bridge + "\" is not a bridge" : "there is no bridge \"" + bridge + "\"",
              "make the bridge, or name another one in the network", other ? "not_a_bridge" : "no_such_bridge");
}

port::GuestNic guest_nic(const NicPlan& nic, const v1::VmNic& asked) {
  port::GuestNic guest{.mac = nic.mac, .model = asked.model(), .tap = nic.tap, .forwards = {}, .ipv4 = {}};
  if (nic.tap.empty()) guest.forwards.assign(asked.port_forwards().begin(), asked.port_forwards().end());
  if (nic.ipv4) guest.ipv4 = model::format_ipv4(*nic.ipv4);
  return guest;
}

}  // namespace

Driver::Driver(std::string state_directory, DriverOptions options)
    : state_directory_(std::move(state_directory)), options_(std::move(options)), nics_(state_directory_ + "/nics") {}

// What was possible once is not asked again: each question runs a program.
std::string Driver::reason_against(v1::NetworkSpec::Kind kind) {
  if (kind == v1::NetworkSpec::USER || allowed_[kind]) return {};
  if (!options_.may_change_host) return kMayNotChangeHost;
  std::string reason = why_not(kind);
  allowed_[kind] = reason.empty();
  return reason;
}

// A tap of which nobody knows how to guard it is cut off until its guest is attached anew (set_groups).
Result<void> Driver::load() {
  auto loaded = nics_.load();
  for (const auto& tap : nics_.take_damaged()) leave_bridge(tap);
  return loaded;
}

std::string Driver::directory_of(const std::string& network_id) const {
  return state_directory_ + "/networks/" + network_id;
}

Dnsmasq Driver::dnsmasq_of(const NatPlan& plan) const {
  return {plan, directory_of(plan.network_id), options_.resolv_file};
}

Result<port::NetworkFacts> Driver::ensure_network(const v1::Network& network) {
  if (auto loaded = load(); !loaded) return fail(loaded.error());
  const auto kind = network.spec().kind();
  std::string reason = reason_against(kind);
  if (model::spans_hosts(kind) && !reason.empty()) {
    // In user mode its guests would be alone.
    return fail(ErrorCode::unsupported, "cannot have network \"" + network.meta().name() + "\" on this host", reason,
                "give gantryd the right to change this host's network", "no_network_rights");
  }
  if (kind == v1::NetworkSpec::USER || !reason.empty()) return ensure_user(network.meta().id(), std::move(reason));
  if (auto ensured = ensure_kind(network); !ensured) return fail(ensured.error());
  // It was of kind USER until now.
  if (guarded_.contains(network.meta().id())) {
    if (auto left = leave_loopback(network.meta().id()); !left) return fail(left.error());
  }
  return port::NetworkFacts{kind, {}};
}

Result<void> Driver::ensure_kind(const v1::Network& network) {
  auto made = make_kind(network);
  if (made && model::spans_hosts(network)) segments_[network.meta().id()] = network;
  return made;
}

Result<void> Driver::make_kind(const v1::Network& network) {
  const auto kind = network.spec().kind();
  if (kind == v1::NetworkSpec::BRIDGE) return check_bridge(network.spec().bridge(), network);
  if (kind == v1::NetworkSpec::VLAN) {
    const auto plan = plan_vlan(network);
    return plan ? ensure_vlan(*plan, network) : fail(plan.error());
  }
  const auto plan = plan_of(network);
  return plan ? ensure_nat(*plan) : fail(plan.error());
}

port::NetworkFacts Driver::ensure_user(const std::string& network_id, std::string reason) {
  const std::string why = guard_loopback(network_id);
  if (why.empty()) return {v1::NetworkSpec::USER, std::move(reason)};
  const std::string before = reason.empty() || reason == why ? "" : reason + "; ";
  return {v1::NetworkSpec::USER,
          before + why + ", so guests reach services that listen on this host's loopback (at 10.0.2.2)"};
}

std::string Driver::guard_loopback(const std::string& network_id) {
  if (guarded_.empty()) {
    if (!options_.may_change_host) return kMayNotChangeHost;
    if (auto why = why_no_loopback_guard(); !why.empty()) return why;
    if (auto applied = change_rules(loopback_guard()); !applied) return applied.error().to_text();
  }
  guarded_.insert(network_id);
  return {};
}

// Guests of other networks may still need the guard, also those of networks that this driver was not told of yet.
Result<void> Driver::leave_loopback(const std::string& network_id) {
  const bool needed = std::any_of(nics_.all().begin(), nics_.all().end(),
                                  [](const auto& entry) { return entry.second.kind == v1::NetworkSpec::USER; });
  const bool others = guarded_.size() > guarded_.count(network_id);
  if (!others && !needed && options_.may_change_host && why_no_loopback_guard().empty()) {
    if (auto removed = change_rules(loopback_guard_removal()); !removed) return removed;
  }
  guarded_.erase(network_id);
  return {};
}

Result<void> Driver::ensure_nat(const NatPlan& plan) {
  const bool fresh = !link_exists(plan.bridge);
  auto built = build_nat(plan);
  if (built) ensured_.insert_or_assign(plan.network_id, plan);
  if (!built && fresh) {
    ensured_.erase(plan.network_id);
    // What failed is said; that the clearing fails too adds nothing.
    if (auto cleared = tear_down(plan); !cleared) return built;
  }
  return built;
}

Result<void> Driver::build_nat(const NatPlan& plan) {
  if (link_address(plan.bridge) != plan.gateway) {
    const std::string what = "cannot make the network " + plan.network_id;
    if (auto free = check_subnet_is_free(plan.subnet, plan.bridge, what); !free) return free;
    if (auto made = make_bridge(plan.bridge, bridge_mac(plan.network_id)); !made) return made;
    // The host must not be reached by link-local addresses that no rule of ours names.
    if (auto set = set_sysctl("ipv6/conf/" + plan.bridge + "/disable_ipv6", "1", true); !set) return set;
    if (auto given = set_link_address(plan.bridge, plan.gateway, plan.subnet); !given) return given;
  }
  if (plan.mtu != 0) {
    if (auto set = set_link_mtu(plan.bridge, plan.mtu); !set) return set;
  }
  std::string rules = network_rules(plan);
  std::vector<NicPlan> attached = nics_.of_network(plan.network_id);
  std::erase_if(attached, [&](const NicPlan& nic) { return nic.bridge != plan.bridge || !link_exists(nic.tap); });
  for (const auto& nic : attached) rules += nic_rules(nic);
  if (auto applied = change_rules(rules); !applied) return applied;
  if (auto set = set_sysctl("ipv4/ip_forward", "1"); !set) return set;
  if (auto set = set_sysctl("ipv4/conf/" + plan.bridge + "/route_localnet", "1"); !set) return set;
  if (auto up = set_link_up(plan.bridge, true); !up) return up;
  if (auto joined = rejoin(plan.bridge); !joined) return joined;
  if (auto served = dnsmasq_of(plan).ensure(attached); !served || !plan.overlay) return served;
  return build_overlay(plan);
}

Result<void> Driver::tear_down(const NatPlan& plan) {
  if (auto gone = dnsmasq_of(plan).destroy(); !gone) return gone;
  if (plan.overlay) {
    if (auto gone = delete_device(plan.overlay->device); !gone) return gone;
  }
  if (auto gone = delete_bridge(plan.bridge); !gone) return gone;
  return change_rules(network_removal(plan));
}

Result<void> Driver::remove_network(const v1::Network& network) {
  const std::string& id = network.meta().id();
  if (!is_id(id, "net")) return fail(ErrorCode::invalid_argument, "\"" + id + "\" is not the id of a network");
  if (auto loaded = load(); !loaded) return loaded;
  if (guarded_.contains(id) || network.spec().kind() == v1::NetworkSpec::USER) {
    if (auto left = leave_loopback(id); !left) return left;
  }
  const auto kind = network.spec().kind();
  if (kind == v1::NetworkSpec::BRIDGE || kind == v1::NetworkSpec::USER) return {};
  for (const auto& nic : nics_.of_network(id)) {
    if (nic.tap.empty() || !link_exists(nic.tap)) continue;
    return fail(ErrorCode::conflict, "cannot remove network \"" + network.meta().name() + "\"",
                "VM " + nic.vm_id + " is attached to it", "delete that VM first", "network_in_use");
  }
  ensured_.erase(id);
  overlays_.erase(id);
  segments_.erase(id);
  if (!reason_against(kind).empty()) return {};
  return kind == v1::NetworkSpec::VLAN ? tear_down_vlan(id) : tear_down(named_plan(id, kind));
}

// As far as a look can tell that costs next to nothing.
bool Driver::is_whole(const NatPlan& plan) const {
  return link_address(plan.bridge) == plan.gateway && dnsmasq_of(plan).is_running() &&
         (!plan.overlay || is_joined(*plan.overlay));
}

// Attaching is the time to notice what was lost of a network since it was ensured.
Result<void> Driver::prepare(const NicPlan& nic, const v1::Network& network) {
  const auto ensured = ensured_.find(nic.network_id);
  if (ensured != ensured_.end() && is_whole(ensured->second)) return {};
  return ensure_kind(network);
}

Result<port::GuestNic> Driver::attach(const port::NicRequest& request) {
  if (auto loaded = load(); !loaded) return fail(loaded.error());
  const auto asked = request.network.spec().kind();
  const auto nic = plan_nic(request, reason_against(asked).empty() ? asked : v1::NetworkSpec::USER);
  if (!nic) return fail(nic.error());

  std::vector<NicPlan> others;
  for (const auto& [key, other] : nics_.all()) others.push_back(other);
  if (auto free = check_ports_are_free(*nic, others); !free) return fail(free.error());
  if (!nic->tap.empty()) {
    if (auto prepared = prepare(*nic, request.network); !prepared) return fail(prepared.error());
  }
  const NicPlan* stored = nics_.find(nic->vm_id, nic->index);
  std::optional<NicPlan> before = stored == nullptr ? std::nullopt : std::optional<NicPlan>(*stored);
  if (before && before->network_id != nic->network_id) {
    if (auto gone = take_away({*before}); !gone) return fail(gone.error());
    before.reset();
  }
  // The record comes first: whatever happens now, detach knows what there may be.
  if (auto recorded = nics_.put(*nic); !recorded) return fail(recorded.error());
  if (nic->tap.empty()) return guest_nic(*nic, request.nic);
  auto attached = put(*nic, before ? &*before : nullptr);
  if (attached) return guest_nic(*nic, request.nic);
  if (auto undone = take_away({*nic}); !undone) {
    attached.error().cause += "; what was begun could not be undone: " + undone.error().to_text();
  }
  return fail(attached.error());
}

// The tap joins the bridge when its guard stands.
Result<void> Driver::put(const NicPlan& nic, const NicPlan* before) {
  if (auto made = make_tap(nic.tap, nic.uid); !made) return made;
  if (auto set = set_sysctl("ipv6/conf/" + nic.tap + "/disable_ipv6", "1", true); !set) return set;
  const auto mtu = link_mtu(nic.bridge);
  if (!mtu) return fail(mtu.error());
  if (auto set = set_link_mtu(nic.tap, *mtu); !set) return set;
  if (nic.filter) {
    if (auto tracked = track_bridge_connections(nic.bridge); !tracked) return tracked;
  }
  const bool other_rules = before != nullptr && !before->tap.empty() && *before != nic;
  if (auto applied = change_rules((other_rules ? nic_removal(*before) : "") + nic_rules(nic)); !applied) return applied;
  if (auto joined = add_bridge_port(nic.bridge, nic.tap); !joined) return joined;
  if (auto up = set_link_up(nic.tap, true); !up) return up;
  if (!model::has_gateway(nic.kind)) return {};
  return dnsmasq_of(ensured_.at(nic.network_id)).add(nic);
}

Result<void> Driver::take_away(const std::vector<NicPlan>& nics) {
  std::string rules;
  for (const auto& nic : nics) {
    if (nic.tap.empty()) continue;
    if (auto gone = delete_tap(nic.tap); !gone) return gone;
    rules += nic_removal(nic);
    if (model::has_gateway(nic.kind)) dnsmasq_of(named_plan(nic.network_id, nic.kind)).remove(nic);
  }
  const bool last = std::all_of(nics_.all().begin(), nics_.all().end(), [&](const auto& entry) {
    return entry.second.tap.empty() || std::find(nics.begin(), nics.end(), entry.second) != nics.end();
  });
  if (!rules.empty()) {
    if (auto applied = change_rules(rules + (last ? guard_removal() : "")); !applied) return applied;
  }
  for (const auto& nic : nics) nics_.erase(nic);
  return {};
}

Result<void> Driver::detach(const std::string& vm_id) {
  if (!is_id(vm_id, "vm")) return fail(ErrorCode::invalid_argument, "\"" + vm_id + "\" is not the id of a VM");
  if (auto loaded = load(); !loaded) return loaded;
  if (auto gone = take_away(nics_.of_vm(vm_id)); !gone) return gone;
  // Taps of a lost record.
  for (const auto& name : link_names()) {
    if (!is_tap_of(name, vm_id)) continue;
    if (auto gone = delete_tap(name); !gone) return gone;
  }
  return {};
}

// Each table anew, in place of the one that may be there.
Driver::Rules Driver::wanted_rules() const {
  Rules wanted;
  if (!guarded_.empty()) {
    wanted.tables.insert("table " + std::string(kLoopbackGuard));
    wanted.text += loopback_guard_removal() + loopback_guard();
  }
  for (const auto& [id, plan] : ensured_) {
    wanted.tables.insert("table inet " + plan.bridge);
    if (plan.overlay) wanted.tables.insert("table bridge " + plan.bridge);
    wanted.text += network_removal(plan) + network_rules(plan);
  }
  for (const auto& [id, network] : segments_) {
    // Without the bridge the kernel takes no rules of it; they come with the bridge.
    if (network.spec().kind() != v1::NetworkSpec::VLAN || !link_exists(bridge_name(id))) continue;
    for (const std::string family : {"netdev ", "inet "}) wanted.tables.insert("table " + family + bridge_name(id));
    wanted.text += vlan_removal(bridge_name(id)) + vlan_rules(bridge_name(id));
  }
  for (const auto& [key, nic] : nics_.all()) {
    if (nic.tap.empty() || !link_exists(nic.tap)) continue;
    if (wanted.tables.insert("table bridge gantry").second) wanted.text += guard_removal();
    if (nic.filter) wanted.tables.insert("table " + std::string(kGroupState));
    wanted.text += nic_rules(nic);
  }
  return wanted;
}

// What a host's own firewall service does when it is reloaded, `nft flush ruleset`, takes our tables away as well.
// Other changes of the ruleset are not ours to judge.
Result<void> Driver::restore_rules() {
  const auto generation = ruleset_generation();
  if (!doubtful_ && generation && generation == generation_) return {};
  const Rules wanted = wanted_rules();
  if (!wanted.tables.empty() && !doubtful_) {
    const auto there = tables();
    if (!there) return fail(there.error());
    doubtful_ = !std::includes(there->begin(), there->end(), wanted.tables.begin(), wanted.tables.end());
  }
  generation_ = generation;
  if (!wanted.tables.empty() && doubtful_) {
    if (auto applied = apply(wanted.text); !applied) return applied;
    generation_ = ruleset_generation();
  }
  doubtful_ = false;
  return {};
}

// Restoring comes first: rules added to a table that was lost would make a new one, which looks as if it were whole.
Result<void> Driver::change_rules(const std::string& rules) {
  // Failing stays doubtful, and is tried again at the next revival.
  static_cast<void>(restore_rules());
  const auto before = generation_;
  if (auto applied = apply(rules); !applied) return applied;
  generation_ = ruleset_generation();
  // Somebody else changed it meanwhile.
  if (before && generation_ && *generation_ != *before + 1) doubtful_ = true;
  return {};
}

void Driver::revive() {
  // Failing stays doubtful, and is tried again the next time.
  static_cast<void>(restore_rules());
  for (const auto& [id, plan] : ensured_) {
    if (link_address(plan.bridge) != plan.gateway) continue;
    // Failing here is seen at the next ensure_network or attach, which reports it.
    if (!dnsmasq_of(plan).is_running()) static_cast<void>(dnsmasq_of(plan).ensure(nics_.of_network(id)));
  }
  // What fails is tried again the next time.
  for (const auto& network : lost_segments()) static_cast<void>(ensure_kind(network));
}

}  // namespace gantry::network
