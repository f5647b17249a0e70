// Whatever a stranger sends as a request: a certificate that comes of it names the host we chose, and can sign nothing.
#include <cstdlib>

#include "link/authority.h"

namespace link_room = gantry::link;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  static const link_room::Credentials kAuthority =
      link_room::make_authority({1'800'000'000'000, 1'900'000'000'000}).value();
  const std::string text(data, data + size);
  const bool good = link_room::check_request(text).has_value();
  const auto certificate =
      link_room::sign_host(kAuthority, text, "host-000000000001", {1'800'000'000'000, 1'800'100'000'000});
  if (certificate.has_value() != good) std::abort();
  if (certificate) {
    const auto identity = link_room::read_host_certificate(*certificate);
    if (!identity || identity->host_id != "host-000000000001") std::abort();
  }
  // Certificates come over the link too.
  (void)link_room::read_host_certificate(text);
  (void)link_room::fingerprint_of(text);
  return 0;
}
