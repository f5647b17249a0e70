// Whatever is accepted is written back as it was read.
#include <cstdlib>

#include "model/ipv4.h"
#include "model/mac.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string text(data, data + size);
  if (const auto address = gantry::model::parse_ipv4(text); address && format_ipv4(*address) != text) std::abort();
  if (const auto subnet = gantry::model::parse_ipv4_subnet(text)) {
    if (format_ipv4_subnet(*subnet) != text || !subnet->contains(subnet->last())) std::abort();
    if (const auto host = subnet->host(subnet->host_count()); host && !subnet->contains(*host)) std::abort();
  }
  if (const auto mac = gantry::model::parse_mac(text); mac && gantry::model::parse_mac(*mac) != *mac) std::abort();
  return 0;
}
