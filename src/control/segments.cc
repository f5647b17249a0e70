#include "control/segments.h"

#include <algorithm>

#include "control/observations.h"
#include "control/printable.h"
#include "control/wording.h"
#include "model/ipv4.h"
#include "model/network_kinds.h"

namespace gantry::control {
namespace {

constexpr std::size_t kProblemBytesMax = 1U << 10U;

v1::NetworkOnHost* find_entry(v1::Network& network, const std::string& host_id) {
  for (v1::NetworkOnHost& entry : *network.mutable_status()->mutable_hosts()) {
    if (entry.host_id() == host_id) return &entry;
  }
  return nullptr;
}

void erase_entry(v1::Network& network, const std::string& host_id) {
  auto& hosts = *network.mutable_status()->mutable_hosts();
  const auto gone = std::remove_if(hosts.begin(), hosts.end(),
                                   [&host_id](const v1::NetworkOnHost& entry) { return entry.host_id() == host_id; });
  hosts.erase(gone, hosts.end());
}

// The ids of all networks that are on every host.
std::vector<std::string> segments(const Draft& draft) {
  std::vector<std::string> ids;
  for (const std::string& id : draft.view().segments()) {
    if (draft.find<v1::Network>(id) != nullptr) ids.push_back(id);
  }
  return ids;
}

bool is_connected(const Draft& draft, const std::string& host_id) {
  const auto* host = draft.find<v1::Host>(host_id);
  return host != nullptr && host->status().state() == v1::HostStatus::CONNECTED && !host->meta().has_deletion();
}

struct Together {
  bool any_ready = false;
  bool any_pending = false;
  // The first that cannot have it, and the names of all of those.
  const v1::NetworkOnHost* failed = nullptr;
  std::string names;
};

Together look_at_all(const Draft& draft, const v1::Network& network) {
  Together all;
  for (const v1::NetworkOnHost& entry : network.status().hosts()) {
    if (!is_connected(draft, entry.host_id())) continue;
    if (entry.state() == v1::NetworkStatus::FAILED) {
      if (all.failed == nullptr) all.failed = &entry;
      all.names += (all.names.empty() ? "" : ", ") + name_of_host(draft, entry.host_id());
    } else if (entry.state() == v1::NetworkStatus::READY) {
      all.any_ready = true;
    } else {
      all.any_pending = true;
    }
  }
  return all;
}

v1::Problem problem_of(const v1::Network& network, const Together& all) {
  v1::Problem problem = all.failed->problem();
  problem.set_summary("network \"" + network.meta().name() + "\" cannot be had on " + all.names);
  if (problem.cause().empty()) problem.set_cause(all.failed->problem().summary());
  return problem;
}

// Of those that are there, not of those on their way.
void add_entries(const View& view, const v1::Network& network, const v1::Host& host, const View::Ids& vms,
                 std::vector<v1::OverlayEntry>& entries) {
  for (const std::string& vm_id : vms) {
    const auto* vm = view.find<v1::Vm>(vm_id);
    if (vm == nullptr || vm->placement().host_id() != host.meta().id()) continue;
    for (const v1::VmNic& nic : vm->spec().nics()) {
      if (nic.network() != network.meta().id()) continue;
      v1::OverlayEntry& entry = entries.emplace_back();
      entry.set_mac(nic.mac());
      entry.set_ipv4(nic.ipv4());
      entry.set_address(host.status().address());
    }
  }
}

void settle_deletion(const Draft& draft, v1::Network& network) {
  v1::NetworkStatus& status = *network.mutable_status();
  status.set_state(v1::NetworkStatus::DELETING);
  status.clear_failed_operation_id();
  status.clear_problem();
  for (const v1::NetworkOnHost& entry : network.status().hosts()) {
    if (entry.failed_operation_id() != network.meta().deletion().task_id()) continue;
    status.set_state(v1::NetworkStatus::FAILED);
    status.set_failed_operation_id(entry.failed_operation_id());
    *status.mutable_problem() = entry.problem();
    status.mutable_problem()->set_summary(name_of_host(draft, entry.host_id()) + ": " + entry.problem().summary());
  }
}

}  // namespace

const v1::NetworkOnHost* find_on_host(const v1::Network& network, const std::string& host_id) {
  for (const v1::NetworkOnHost& entry : network.status().hosts()) {
    if (entry.host_id() == host_id) return &entry;
  }
  return nullptr;
}

void expect_on_host(v1::Network& network, const std::string& host_id) {
  if (find_on_host(network, host_id) != nullptr) return;
  v1::NetworkOnHost& entry = *network.mutable_status()->add_hosts();
  entry.set_host_id(host_id);
  entry.set_state(v1::NetworkStatus::PENDING);
}

void expect_all_on_host(Draft& draft, const std::string& host_id) {
  for (const std::string& id : segments(draft)) {
    if (!draft.find<v1::Network>(id)->meta().has_deletion()) expect_on_host(draft.edit<v1::Network>(id), host_id);
  }
}

void forget_on_host(Draft& draft, const std::string& host_id) {
  for (const std::string& id : segments(draft)) {
    if (find_on_host(*draft.find<v1::Network>(id), host_id) == nullptr) continue;
    erase_entry(draft.edit<v1::Network>(id), host_id);
    settle_segment(draft, id);
  }
}

bool is_left_on_host(const Draft& draft, const std::string& host_id) {
  const auto ids = segments(draft);
  return std::any_of(ids.begin(), ids.end(), [&](const std::string& id) {
    return find_on_host(*draft.find<v1::Network>(id), host_id) != nullptr;
  });
}

void observe_segment(Draft& draft, const std::string& host_id, const v1::ObservationMark& mark,
                     const v1::Observation& observation) {
  const v1::Network& network = *draft.find<v1::Network>(observation.id());
  const auto* host = draft.find<v1::Host>(host_id);
  const auto* before = find_on_host(network, host_id);
  if (host == nullptr || before == nullptr || !is_newer(mark, before->observed())) return;
  if (observation.absent()) {
    if (network.meta().has_deletion() || host->meta().has_deletion()) {
      erase_entry(draft.edit<v1::Network>(observation.id()), host_id);
    }
    return;
  }
  if (!observation.has_network()) return;
  v1::NetworkOnHost next;
  next.set_host_id(host_id);
  next.set_state(observation.network().state());
  if (observation.network().has_problem()) *next.mutable_problem() = observation.network().problem();
  next.set_failed_operation_id(observation.network().failed_operation_id());
  make_printable(next, {.bytes_max = kProblemBytesMax, .lines = model::Lines::several});
  *next.mutable_observed() = before->observed();
  if (to_bytes(next) == to_bytes(*before)) return;
  *next.mutable_observed() = mark;
  *find_entry(draft.edit<v1::Network>(observation.id()), host_id) = std::move(next);
}

void settle_segment(Draft& draft, const std::string& network_id) {
  const auto* network = draft.find<v1::Network>(network_id);
  if (network == nullptr || !model::spans_hosts(*network)) return;
  if (network->meta().has_deletion()) {
    if (network->status().hosts().empty()) return draft.erase<v1::Network>(network_id);
    return settle_deletion(draft, draft.edit<v1::Network>(network_id));
  }
  const Together all = look_at_all(draft, *network);
  auto state = network->status().state();
  // One that serves goes on serving while a host that came later has yet to make it.
  if (all.any_ready && (!all.any_pending || state == v1::NetworkStatus::READY)) {
    state = v1::NetworkStatus::READY;
  } else if (all.failed != nullptr && !all.any_pending && !all.any_ready) {
    state = v1::NetworkStatus::FAILED;
  } else if (all.any_pending || all.any_ready) {
    state = v1::NetworkStatus::PENDING;
  }
  v1::Problem problem = all.failed == nullptr ? v1::Problem() : problem_of(*network, all);
  v1::NetworkStatus& status = *draft.edit<v1::Network>(network_id).mutable_status();
  status.set_state(state);
  status.set_effective_kind(network->spec().kind());
  status.clear_failed_operation_id();
  if (all.failed == nullptr) {
    status.clear_problem();
  } else {
    *status.mutable_problem() = std::move(problem);
  }
}

std::string waited_for(const Draft& draft, const v1::Network& network) {
  std::string names;
  for (const v1::NetworkOnHost& entry : network.status().hosts()) {
    const auto* host = draft.find<v1::Host>(entry.host_id());
    const bool connected = host != nullptr && host->status().state() == v1::HostStatus::CONNECTED;
    names += (names.empty() ? "" : ", ") + name_of_host(draft, entry.host_id()) + (connected ? "" : " (not connected)");
  }
  return names;
}

std::optional<v1::Assignment> segment_assignment(const View& view, const v1::Network& network,
                                                 const std::string& host_id) {
  if (find_on_host(network, host_id) == nullptr) return std::nullopt;
  v1::Assignment assignment;
  // What other hosts are told of is none of its business.
  *assignment.mutable_network()->mutable_meta() = network.meta();
  *assignment.mutable_network()->mutable_spec() = network.spec();
  const auto* host = view.find<v1::Host>(host_id);
  v1::Meta& meta = *assignment.mutable_network()->mutable_meta();
  if (host != nullptr && host->meta().has_deletion() && !meta.has_deletion()) {
    *meta.mutable_deletion() = host->meta().deletion();
  }
  for (v1::OverlayEntry& entry : overlay_entries(view, network, host_id)) {
    *assignment.add_overlay_entries() = std::move(entry);
  }
  return assignment;
}

bool is_settled_on_host(const v1::Network& network, const std::string& host_id) {
  const auto* entry = find_on_host(network, host_id);
  if (entry == nullptr) return true;
  if (network.meta().has_deletion()) return false;
  return entry->state() == v1::NetworkStatus::READY || entry->state() == v1::NetworkStatus::FAILED;
}

bool has_nic_on(const View& view, const v1::Network& network, const std::string& host_id) {
  return view.nics_in(network.meta().id()).contains(host_id);
}

std::vector<v1::OverlayEntry> overlay_entries(const View& view, const v1::Network& network,
                                              const std::string& host_id) {
  std::vector<v1::OverlayEntry> entries;
  if (network.spec().kind() != v1::NetworkSpec::OVERLAY || !has_nic_on(view, network, host_id)) return entries;
  const auto* own = view.find<v1::Host>(host_id);
  for (const auto& [other_id, vms] : view.nics_in(network.meta().id())) {
    const auto* host = other_id == host_id ? nullptr : view.find<v1::Host>(other_id);
    // Whatever a host calls its address goes to other hosts' kernels.
    if (host == nullptr || !model::parse_ipv4(host->status().address())) continue;
    if (own != nullptr && host->status().address() == own->status().address()) continue;
    add_entries(view, network, *host, vms, entries);
  }
  return entries;
}

}  // namespace gantry::control
