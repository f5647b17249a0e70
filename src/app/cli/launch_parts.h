// What `gantry launch` writes in one word: disks, NICs and port forwards.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "gantry/v1/vm.pb.h"

namespace gantry::app {

// "SIZE|VOLUME[,bus=virtio|sata][,format=qcow2|raw][,pool=POOL][,read-only]". A size makes a volume. With `size_only`
// no volume can be named, and the size may be left out ("bus=sata"). invalid_argument says what is wrong with which
// word.
Result<v1::VmDisk> parse_disk(const std::string& text, bool size_only);

// "NETWORK[,model=virtio|e1000e][,mac=MAC][,ip=ADDRESS]"; without NETWORK ("mac=...") the default one.
Result<v1::VmNic> parse_nic(const std::string& text);

// "8080:80", "127.0.0.1:8080:80", ":22" (Gantry chooses), each with "/udp" for UDP.
Result<v1::PortForward> parse_forward(const std::string& text);

// Each "KEY=VALUE"; without "=" the value is empty.
void add_labels(const std::vector<std::string>& texts, google::protobuf::Map<std::string, std::string>& labels);

}  // namespace gantry::app
