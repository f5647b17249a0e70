// Admission of networks.
#include <set>

#include "control/admission.h"
#include "control/choose_host.h"
#include "control/refuse_used.h"
#include "control/segments.h"
#include "control/subnets.h"
#include "model/bridge_name.h"
#include "model/network_kinds.h"
#include "model/state.h"

namespace gantry::control {
namespace {

constexpr std::uint32_t kVniEnd = 1U << 24U;

// One that no other overlay has; there are far more than networks.
std::uint32_t choose_vni(Change& change) {
  std::set<std::uint32_t> taken;
  for (const auto& [id, network] : change.view().all<v1::Network>().by_id) taken.insert(network.spec().vni());
  while (true) {
    const auto vni = static_cast<std::uint32_t>(change.rng().below(kVniEnd));
    if (vni != 0 && !taken.contains(vni)) return vni;
  }
}

Result<void> check_vlan_is_free(const Change& change, const v1::NetworkSpec& spec) {
  for (const auto& [id, other] : change.view().all<v1::Network>().by_id) {
    if (other.spec().vlan() != spec.vlan() || other.spec().uplink() != spec.uplink()) continue;
    return fail(ErrorCode::conflict, "VLAN " + std::to_string(spec.vlan()) + " of " + spec.uplink() + " cannot be used",
                "network \"" + other.meta().name() + "\" is on it", "use that network, or another VLAN", "vlan_in_use");
  }
  return {};
}

Result<void> fill_spec(Change& change, v1::Network& network) {
  v1::NetworkSpec& spec = *network.mutable_spec();
  if (spec.domain().empty()) spec.set_domain(std::string(model::kDefaultDomain));
  if (spec.kind() == v1::NetworkSpec::VLAN) GANTRY_CHECK(check_vlan_is_free(change, spec));
  if (spec.kind() == v1::NetworkSpec::OVERLAY) spec.set_vni(choose_vni(change));
  if (model::has_gateway(spec.kind())) {
    auto subnet = choose_subnet(change.view(), spec.ipv4_subnet());
    if (!subnet) return fail(std::move(subnet.error()));
    spec.set_ipv4_subnet(*subnet);
  }
  if (spec.kind() != v1::NetworkSpec::BRIDGE && spec.kind() != v1::NetworkSpec::USER) {
    spec.set_bridge(model::bridge_name(network.meta().id()));
  }
  return {};
}

std::string words_of(const v1::NetworkSpec& spec) {
  switch (spec.kind()) {
    case v1::NetworkSpec::NAT: return "NAT, " + spec.ipv4_subnet();
    case v1::NetworkSpec::BRIDGE: return "on bridge " + spec.bridge();
    case v1::NetworkSpec::VLAN: return "VLAN " + std::to_string(spec.vlan()) + " of " + spec.uplink();
    case v1::NetworkSpec::OVERLAY: return "overlay, " + spec.ipv4_subnet();
    default: return "user mode";
  }
}

// Every host that does not leave has it from now on.
void expect_on_all(const Change& change, v1::Network& network) {
  for (const auto& [id, host] : change.view().all<v1::Host>().by_id) {
    if (!host.meta().has_deletion()) expect_on_host(network, id);
  }
}

}  // namespace

Result<void> create_network(Change& change, const v1::CreateNetworkRequest& request) {
  auto meta = change.new_meta<v1::Network>(request.name(), request.labels());
  if (!meta) return fail(std::move(meta.error()));
  change.name_target("network.create", *meta);
  v1::Network network;
  *network.mutable_meta() = std::move(*meta);
  *network.mutable_spec() = request.spec();
  network.mutable_status()->set_state(v1::NetworkStatus::PENDING);
  std::string where = " on every host";
  if (model::spans_hosts(network)) {
    expect_on_all(change, network);
  } else {
    auto host = choose_host(change, request.host());
    if (!host) return fail(std::move(host.error()));
    network.mutable_status()->set_host_id((*host)->meta().id());
    where = " on host " + (*host)->meta().name();
  }
  GANTRY_CHECK(fill_spec(change, network));
  change.step("make network " + request.name() + " (" + words_of(network.spec()) + ")" + where);
  change.draft.create(std::move(network));
  return {};
}

Result<void> delete_network(Change& change, const v1::ById& request) {
  auto target = change.target<v1::Network>("network.delete", request.id(), true);
  if (!target) return fail(std::move(target.error()));
  v1::Network& network = **target;
  if (auto unused = refuse_used<v1::Network, v1::Vm>(change, network, "network_in_use"); !unused) return unused;
  change.mark_deleted(*network.mutable_meta());
  change.step("delete network " + network.meta().name());
  return {};
}

}  // namespace gantry::control
