// A new VM's network interfaces.
#pragma once

#include "control/change.h"
#include "gantry/v1/routes.pb.h"
#include "policy/place.h"

namespace gantry::control {

// Fills in the ids of the networks that are named, and adds what the interfaces ask of a host to `demand`.
Result<void> resolve_networks(Change& change, v1::VmSpec& spec, policy::PlaceDemand& demand);
// Once the host is known: its own network for interfaces that name none, and one interface where none is asked for
// ("none" alone: none at all). resolve_networks() has seen to it that there is such a network where one is needed.
Result<void> use_default_network(Change& change, v1::VmSpec& spec, const std::string& host_id,
                                 policy::PlaceDemand& demand);

// Gives MAC addresses, IPv4 addresses and host ports that nobody else has, and refuses asked ones that somebody has.
Result<void> give_addresses(Change& change, v1::VmSpec& spec, const std::string& host_id);

// Names of groups become ids, in order; a NIC on a network in user mode can have none.
Result<void> resolve_groups(const Change& change, const v1::Network& network,
                            google::protobuf::RepeatedPtrField<std::string>& groups);
// Gives the VM's NICs the groups asked for. Answers whether that changes anything.
Result<bool> change_groups(Change& change, const v1::UpdateVmRequest& request, v1::Vm& vm);

}  // namespace gantry::control
