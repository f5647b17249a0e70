// Which processor a guest is given where it may run on several hosts.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "gantry/v1/host.pb.h"

namespace gantry::policy {

bool has_cpu_model(const v1::Host& host, std::string_view model);

// Why guests there cannot have that one; empty: they can, or none is asked for.
std::string cpu_model_obstacle(const v1::Host& host, const std::string& model);

// The best of QEMU's models that every one of these hosts has; empty: there is none, or no host.
std::string best_common_cpu_model(std::span<const v1::Host* const> hosts);

}  // namespace gantry::policy
