// What the modelled host's network does.
#include "sim/host_world.h"

namespace gantry::sim {

Result<port::GuestNic> HostWorld::attach(const port::NicRequest& request) {
  const auto network = networks.find(request.network.meta().id());
  if (network == networks.end()) return fail(ErrorCode::unavailable, "the network's bridge is not there");
  network->second.insert(request.vm_id);
  filters[request.vm_id + "/" + std::to_string(request.index)];
  if (auto set = set_groups(request); !set) return fail(set.error());
  return port::GuestNic{.mac = request.nic.mac(),
                        .model = request.nic.model(),
                        .tap = "tap-" + request.vm_id + "-" + std::to_string(request.index),
                        .forwards = {},
                        .ipv4 = request.nic.ipv4()};
}

std::string filter_of(const v1::VmNic& nic, const std::map<std::string, v1::SecurityGroup>& groups) {
  std::string text;
  for (const std::string& id : nic.security_groups()) {
    const auto group = groups.find(id);
    text += id + ":" + (group == groups.end() ? "missing" : group->second.spec().SerializeAsString()) + "\n";
  }
  return text;
}

Result<void> HostWorld::set_overlay(const std::string& network_id, const std::vector<v1::OverlayEntry>& entries) {
  if (!networks.contains(network_id)) return fail(ErrorCode::unavailable, "the network's bridge is not there");
  trace_.note("HOST", "network " + network_id + " knows " + std::to_string(entries.size()) + " NICs on other hosts");
  return {};
}

Result<void> HostWorld::set_groups(const port::NicRequest& request) {
  const auto filter = filters.find(request.vm_id + "/" + std::to_string(request.index));
  if (filter == filters.end()) return {};
  std::map<std::string, v1::SecurityGroup> groups;
  for (const v1::AssignedGroup& assigned : request.groups) groups[assigned.group().meta().id()] = assigned.group();
  filter->second = filter_of(request.nic, groups);
  return {};
}

void HostWorld::detach(const std::string& vm_id) {
  const auto guest = guests.find(vm_id);
  if (guest != guests.end() && lives(guest->second)) {
    trace_.violation("guest " + vm_id + " loses its network interfaces while it lives");
  }
  for (auto& [network_id, attached] : networks) attached.erase(vm_id);
  std::erase_if(filters, [&vm_id](const auto& filter) { return filter.first.rfind(vm_id + "/", 0) == 0; });
}

void HostWorld::remove_network(const std::string& network_id) {
  const auto network = networks.find(network_id);
  if (network == networks.end()) return;
  for (const std::string& vm_id : network->second) {
    const auto guest = guests.find(vm_id);
    if (guest != guests.end() && lives(guest->second)) {
      trace_.violation("network " + network_id + " is removed under guest " + vm_id);
    }
  }
  // A host that leaves takes its part of what is on every host down.
  if (!records_.is_to_be_deleted(network_id) && !records_.is_to_be_deleted(host_id)) {
    trace_.violation("network " + network_id + " is removed, and nobody asked for it");
  }
  networks.erase(network);
}

}  // namespace gantry::sim
