#include "control/reach.h"

#include <algorithm>

#include "model/network_kinds.h"

namespace gantry::control {
namespace {

void touch_overlays(const View& view, const v1::Vm& vm, View::Ids& touched) {
  for (const v1::VmNic& nic : vm.spec().nics()) {
    const auto* network = view.find<v1::Network>(nic.network());
    if (network != nullptr && network->spec().kind() == v1::NetworkSpec::OVERLAY) touched.insert(nic.network());
  }
}

// The addresses of its members are told where rules name it alone.
bool names_itself(const View& view, const std::string& group_id) {
  const auto* group = view.find<v1::SecurityGroup>(group_id);
  return group != nullptr && std::ranges::any_of(group->spec().rules(), [&](const v1::SecurityRule& rule) {
           return rule.group() == group_id;
         });
}

void touch_vms(const View& view, const std::string& group_id, View::Ids& touched) {
  for (const std::string& vm : view.users_of_kind<v1::Vm>(group_id)) touched.insert(vm);
}

}  // namespace

std::string reach_of(const v1::Vm& vm) {
  std::string text = vm.placement().host_id() + " " + vm.placement().move().host_id();
  for (const v1::VmNic& nic : vm.spec().nics()) {
    text += "\n" + nic.network() + " " + nic.mac() + " " + nic.ipv4();
    for (const std::string& group : nic.security_groups()) text += " " + group;
  }
  return text;
}

std::string reach_of(const v1::Host& host) { return host.status().address() + "\n" + host.meta().deletion().task_id(); }

std::string reach_of(const v1::SecurityGroup& group) { return to_bytes(group.spec()); }

void touch_reach(const View& view, const v1::Vm& vm, View::Ids& touched) {
  touch_overlays(view, vm, touched);
  for (const v1::VmNic& nic : vm.spec().nics()) {
    for (const std::string& group_id : nic.security_groups()) {
      if (names_itself(view, group_id)) touch_vms(view, group_id, touched);
      for (const std::string& other : view.users_of_kind<v1::SecurityGroup>(group_id)) touch_vms(view, other, touched);
    }
  }
}

void touch_reach(const View& view, const v1::Host& host, View::Ids& touched) {
  // One that leaves is to take its part of them down.
  if (host.meta().has_deletion()) {
    for (const std::string& id : view.segments()) touched.insert(id);
  }
  for (const std::string& vm_id : view.users_of_kind<v1::Vm>(host.meta().id())) {
    if (const auto* vm = view.find<v1::Vm>(vm_id)) touch_overlays(view, *vm, touched);
  }
}

void touch_reach(const View& view, const v1::SecurityGroup& group, View::Ids& touched) {
  touch_vms(view, group.meta().id(), touched);
}

}  // namespace gantry::control
