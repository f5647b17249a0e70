// The name of a NAT network's bridge, the same wherever it is told or made.
#pragma once

#include <string>
#include <string_view>

namespace gantry::model {

inline constexpr std::string_view kBridgePrefix = "gn-";

// The prefix and the letters of the network's id: 15 bytes, as many as Linux takes. `network_id` has the form of an id.
inline std::string bridge_name(std::string_view network_id) {
  return std::string(kBridgePrefix) + std::string(network_id.substr(network_id.find('-') + 1));
}

}  // namespace gantry::model
