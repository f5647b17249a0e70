// A token that is taken is the only text of what it holds, and its addresses can be connected to.
#include <cstdlib>

#include "model/join_token.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string text(data, data + size);
  const auto token = gantry::model::parse_join_token(text);
  if (token) {
    const std::string again = gantry::model::format_join_token(*token);
    if (text.find(again) == std::string::npos) std::abort();
    for (const std::string& address : token->addresses()) {
      if (!gantry::model::parse_link_address(address)) std::abort();
    }
  }
  // Anything can be put into one and comes out again.
  gantry::v1::JoinToken made;
  made.add_addresses("manager.example:8444");
  made.set_authority_fingerprint(std::string(32, 'f'));
  made.set_secret("s" + std::to_string(size));
  if (!gantry::model::parse_join_token(gantry::model::format_join_token(made))) std::abort();
  if (const auto address = gantry::model::parse_link_address(text)) {
    if (address->host.empty() || address->port.empty()) std::abort();
  }
  return 0;
}
