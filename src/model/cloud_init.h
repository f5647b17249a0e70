// The NoCloud seed that cloud-init in a guest reads at its first boot.
// Formats: cloudinit.readthedocs.io, "NoCloud", "Networking config version 1", "User-data formats".
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "gantry/v1/network.pb.h"
#include "gantry/v1/vm.pb.h"

namespace gantry::model {

// File name -> content: "meta-data", "user-data", "network-config". Empty when the VM asks for nothing of cloud-init.
// `networks` are those of its NICs, found by id; one that is missing only costs the guest its domain name.
// Whatever users wrote reaches the guest as data: no text of theirs can become a key or a part of its own.
std::map<std::string, std::string> cloud_init_files(const v1::Vm& vm, const std::vector<v1::Network>& networks);

// A YAML scalar that means exactly `text`, in double quotes and ASCII. Bytes that are not UTF-8 become U+FFFD.
std::string yaml_quoted(std::string_view text);

}  // namespace gantry::model
