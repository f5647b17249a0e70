#include <cstddef>

#include "network/dnsmasq_files.h"
#include "network/nic_store.h"
#include "network/occupied.h"
#include "network/overlay_entries.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string text(data, data + size);
  for (const auto& route : gantry::network::parse_routes(text)) {
    if (route.subnet.prefix_length > 32) __builtin_trap();
  }
  gantry::network::parse_leases(text);
  if (const auto state = gantry::network::parse_state(text)) {
    // What is so already needs no change.
    if (!gantry::network::state_changes("gx-0", *state, *state).empty()) __builtin_trap();
  }
  if (const auto nic = gantry::network::decode_nic(text)) {
    const auto again = gantry::network::decode_nic(gantry::network::encode_nic(*nic));
    if (!again || *again != *nic) __builtin_trap();
  }
  return 0;
}
