#include "app/cli/reach.h"

#include <algorithm>
#include <set>

#include "gantry/v1/routes.pb.h"
#include "model/network_kinds.h"

namespace gantry::app {
namespace {

bool is_elsewhere(ApiClient& client, const v1::Vm& vm) {
  const auto server = client.call<v1::Version>("GetVersion", v1::Empty());
  const std::string& host_id = vm.placement().host_id();
  return server && !server->host_id().empty() && !host_id.empty() && host_id != server->host_id();
}

// On a bridge its address is one of the segment around the host.
bool is_bridged(ApiClient& client, const v1::VmNic& nic) {
  v1::ById request;
  request.set_id(nic.network());
  const auto network = client.call<v1::Network>("GetNetwork", request);
  return network && model::is_foreign_segment(network->spec().kind());
}

bool is_of_that_machine(const v1::PortForward& forward) {
  const std::string& address = forward.host_address();
  return address.empty() || address == "0.0.0.0" || address.rfind("127.", 0) == 0;
}

}  // namespace

bool keep_reachable(ApiClient& client, v1::Vm& vm) {
  if (!is_elsewhere(client, vm)) return false;
  std::set<std::string> bridged;
  for (v1::VmNic& nic : *vm.mutable_spec()->mutable_nics()) {
    auto& forwards = *nic.mutable_port_forwards();
    forwards.erase(std::remove_if(forwards.begin(), forwards.end(), is_of_that_machine), forwards.end());
    if (is_bridged(client, nic)) {
      bridged.insert(nic.mac());
    } else {
      nic.clear_ipv4();
    }
  }
  auto& interfaces = *vm.mutable_status()->mutable_guest()->mutable_interfaces();
  interfaces.erase(std::remove_if(interfaces.begin(), interfaces.end(),
                                  [&](const v1::GuestInterface& one) { return !bridged.contains(one.mac()); }),
                   interfaces.end());
  return true;
}

}  // namespace gantry::app
