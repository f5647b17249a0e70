#include <cstddef>

#include "network/dnsmasq_files.h"
#include "network/nic_store.h"
#include "network/occupied.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string text(data, data + size);
  for (const auto& route : gantry::network::parse_routes(text)) {
    if (route.subnet.prefix_length > 32) __builtin_trap();
  }
  gantry::network::parse_leases(text);
  if (const auto nic = gantry::network::decode_nic(text)) {
    const auto again = gantry::network::decode_nic(gantry::network::encode_nic(*nic));
    if (!again || *again != *nic) __builtin_trap();
  }
  return 0;
}
