// A new VM's network interfaces.
#pragma once

#include "control/change.h"
#include "gantry/v1/routes.pb.h"
#include "policy/place.h"

namespace gantry::control {

// Fills in the network ids, and one interface on the network "default" where none is asked for ("none" alone: none at
// all). Adds the hosts the networks are on to `demand`.
Result<void> resolve_networks(Change& change, v1::VmSpec& spec, policy::PlaceDemand& demand);

// Gives MAC addresses, IPv4 addresses and host ports that nobody else has, and refuses asked ones that somebody has.
Result<void> give_addresses(Change& change, v1::VmSpec& spec, const std::string& host_id);

// Names of groups become ids, in order; a NIC on a network in user mode can have none.
Result<void> resolve_groups(const Change& change, const v1::Network& network,
                            google::protobuf::RepeatedPtrField<std::string>& groups);
// Gives the VM's NICs the groups asked for. Answers whether that changes anything.
Result<bool> change_groups(Change& change, const v1::UpdateVmRequest& request, v1::Vm& vm);

}  // namespace gantry::control
