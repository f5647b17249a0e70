#include "control/admit_nics.h"

#include <set>

#include "control/admit_volume.h"
#include "control/placement.h"
#include "control/subnets.h"
#include "model/ipv4.h"
#include "model/mac.h"
#include "model/network_kinds.h"
#include "model/state.h"

namespace gantry::control {
namespace {

constexpr std::uint32_t kFirstChosenPort = 20'000;
constexpr std::uint32_t kLastChosenPort = 29'999;
constexpr int kMacTries = 1000;

// What is given within one request, beside what the view has.
struct Given {
  std::set<std::string> macs;
  std::set<std::string> addresses;
  std::set<std::string> ports;
};

Result<void> give_mac(Change& change, v1::VmNic& nic, Given& given) {
  const auto taken = [&](const std::string& mac) { return change.view().has_mac(mac) || given.macs.count(mac) != 0; };
  if (!nic.mac().empty()) {
    auto mac = model::parse_mac(nic.mac());
    if (!mac) return fail(std::move(mac.error()));
    if (taken(*mac)) {
      return fail(ErrorCode::conflict, "the MAC address " + *mac + " cannot be used",
                  "another network interface has it", "leave mac out to have one chosen", "mac_in_use");
    }
    nic.set_mac(*mac);
  } else {
    std::string mac = model::make_mac(change.rng());
    for (int i = 0; i < kMacTries && taken(mac); ++i) mac = model::make_mac(change.rng());
    nic.set_mac(mac);
  }
  given.macs.insert(nic.mac());
  return {};
}

Result<void> check_given_address(const v1::Network& network, const std::string& ipv4) {
  if (model::is_foreign_segment(network.spec().kind())) return {};
  const std::string summary = "the address " + ipv4 + " cannot be used on network \"" + network.meta().name() + "\"";
  if (network.spec().kind() == v1::NetworkSpec::USER) {
    return fail(ErrorCode::invalid_argument, summary, "a user-mode network gives its guests their addresses itself",
                "leave ipv4 out", "address_not_allowed");
  }
  auto subnet = model::parse_ipv4_subnet(network.spec().ipv4_subnet());
  auto address = model::parse_ipv4(ipv4);
  if (!subnet || !address) return fail(ErrorCode::internal, summary);
  if (!subnet->contains(*address) || *address == subnet->first || *address == subnet->last() ||
      *address == subnet->host(1).value_or(subnet->first)) {
    return fail(ErrorCode::invalid_argument, summary,
                "it is not one of a guest in " + network.spec().ipv4_subnet() + " (the first is the network's own)",
                "choose another, or leave ipv4 out to have one chosen", "address_not_allowed");
  }
  return {};
}

Result<void> give_address(Change& change, v1::VmNic& nic, const v1::Network& network, Given& given) {
  const auto taken = [&](const std::string& ipv4) {
    return change.view().has_address(nic.network(), ipv4) || given.addresses.count(nic.network() + " " + ipv4) != 0;
  };
  if (!nic.ipv4().empty()) {
    GANTRY_CHECK(check_given_address(network, nic.ipv4()));
    if (taken(nic.ipv4())) {
      return fail(ErrorCode::conflict, "the address " + nic.ipv4() + " cannot be used",
                  "another VM on network \"" + network.meta().name() + "\" has it",
                  "choose another, or leave ipv4 out to have one chosen", "address_in_use");
    }
  } else if (model::has_gateway(network.spec().kind())) {
    auto address = choose_address(network.spec().ipv4_subnet(), change.rng(), taken);
    if (!address) return fail(std::move(address.error()));
    nic.set_ipv4(*address);
  }
  if (!nic.ipv4().empty()) given.addresses.insert(nic.network() + " " + nic.ipv4());
  return {};
}

Result<void> give_port(Change& change, v1::PortForward& forward, const std::string& host_id, Given& given) {
  const auto word = [&](std::uint32_t port) { return std::to_string(forward.protocol()) + " " + std::to_string(port); };
  const auto taken = [&](std::uint32_t port) {
    return change.view().has_port(host_id, forward.protocol(), port) || given.ports.count(word(port)) != 0;
  };
  const std::string host = "host \"" + host_name(change.view(), host_id) + "\"";
  if (forward.host_port() == 0) {
    std::uint32_t port = kFirstChosenPort;
    while (port <= kLastChosenPort && taken(port)) ++port;
    if (port > kLastChosenPort) {
      return fail(ErrorCode::conflict, "no port is left to choose on " + host,
                  "all from 20000 to 29999 are forwarded already", "give host_port", "port_in_use");
    }
    forward.set_host_port(port);
  } else if (taken(forward.host_port())) {
    return fail(ErrorCode::conflict, "port " + std::to_string(forward.host_port()) + " of " + host + " cannot be used",
                "it is forwarded to another guest, or twice to this one",
                "give another host_port, or 0 to have one chosen", "port_in_use");
  }
  given.ports.insert(word(forward.host_port()));
  if (forward.host_address().empty()) forward.set_host_address("127.0.0.1");
  change.step("forward port " + std::to_string(forward.host_port()) + " of " + forward.host_address() + " on " + host +
              " to the guest's port " + std::to_string(forward.guest_port()));
  return {};
}

// The network of NICs that name none: "default", or on a host that has joined, the first network of that host. nullptr:
// there is none.
const v1::Network* default_network(const View& view, const std::string& host_id) {
  const auto usable = [](const v1::Network* network) { return network != nullptr && !network->meta().has_deletion(); };
  const auto* network = view.resolve<v1::Network>(std::string(model::kDefaultName));
  if (usable(network) && reaches(view, host_id, *network)) return network;
  // Whoever deleted the one of the manager's own machine wanted none there.
  if (view.own_hosts.contains(host_id)) return nullptr;
  const v1::Network* first = nullptr;
  for (const std::string& id : view.users_of_kind<v1::Network>(host_id)) {
    const auto* other = view.find<v1::Network>(id);
    if (usable(other) && (first == nullptr || other->meta().name() < first->meta().name())) first = other;
  }
  return first;
}

void add_default_reach(const View& view, policy::PlaceDemand& demand) {
  policy::PlaceReach reach{.reason = "it has no network for guests that name none", .host_ids = {}};
  for (const auto& [id, host] : view.all<v1::Host>().by_id) {
    if (default_network(view, id) != nullptr) reach.host_ids.insert(id);
  }
  demand.reach.push_back(std::move(reach));
}

Result<void> use_network(Change& change, v1::VmNic& nic, const v1::Network& network) {
  if (network.status().state() == v1::NetworkStatus::FAILED) {
    change.warn("network \"" + network.meta().name() + "\" has a problem: " + network.status().problem().summary());
  }
  if (model::is_foreign_segment(network.spec().kind()) && !nic.port_forwards().empty()) {
    return fail(
        ErrorCode::invalid_argument, "network \"" + network.meta().name() + "\" cannot forward ports",
        "it is of kind " + v1::NetworkSpec::Kind_Name(network.spec().kind()) + ": its guests are reached directly",
        "leave portForwards out", "forward_not_allowed");
  }
  nic.set_network(network.meta().id());
  return resolve_groups(change, network, *nic.mutable_security_groups());
}

}  // namespace

Result<void> resolve_networks(Change& change, v1::VmSpec& spec, policy::PlaceDemand& demand) {
  bool by_default = false;
  for (v1::VmNic& nic : *spec.mutable_nics()) {
    if (nic.network() == "none" && spec.nics_size() == 1) return {};
    if (nic.network().empty()) {
      by_default = true;
      continue;
    }
    auto network = change.find<v1::Network>(nic.network());
    if (!network) return fail(std::move(network.error()));
    GANTRY_CHECK(use_network(change, nic, **network));
    add_reach(change.view(), **network, demand);
  }
  if (by_default) add_default_reach(change.view(), demand);
  return {};
}

Result<void> use_default_network(Change& change, v1::VmSpec& spec, const std::string& host_id,
                                 policy::PlaceDemand& demand) {
  if (spec.nics_size() == 1 && spec.nics(0).network() == "none") {
    spec.clear_nics();
    return {};
  }
  const auto* network = default_network(change.view(), host_id);
  if (spec.nics().empty()) {
    if (network == nullptr) {
      change.warn("host " + host_name(change.view(), host_id) +
                  " has no network for guests that name none: the VM gets no network interface");
      return {};
    }
    spec.add_nics();
  }
  bool is_used = false;
  for (v1::VmNic& nic : *spec.mutable_nics()) {
    if (!nic.network().empty()) continue;
    GANTRY_CHECK(use_network(change, nic, *network));
    is_used = true;
  }
  if (is_used) add_reach(change.view(), *network, demand);
  return {};
}

Result<void> give_addresses(Change& change, v1::VmSpec& spec, const std::string& host_id) {
  Given given;
  const v1::VmSpec asked = spec;
  // Asked ones first, so that no chosen one takes them.
  for (const bool choose : {false, true}) {
    for (int i = 0; i < spec.nics_size(); ++i) {
      v1::VmNic& nic = *spec.mutable_nics(i);
      const auto* network = change.view().find<v1::Network>(nic.network());
      if (network == nullptr) return fail(ErrorCode::internal, "a network vanished while it was being used");
      if (asked.nics(i).mac().empty() == choose) GANTRY_CHECK(give_mac(change, nic, given));
      if (asked.nics(i).ipv4().empty() == choose) GANTRY_CHECK(give_address(change, nic, *network, given));
      for (int j = 0; j < nic.port_forwards_size(); ++j) {
        if ((asked.nics(i).port_forwards(j).host_port() == 0) != choose) continue;
        GANTRY_CHECK(give_port(change, *nic.mutable_port_forwards(j), host_id, given));
      }
    }
  }
  return {};
}

}  // namespace gantry::control
