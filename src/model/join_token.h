// The text a machine joins a cluster with: "gj1_" and letters, digits, "-" and "_" that hold a v1::JoinToken and a
// checksum. One word, so that it can be pasted anywhere.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "gantry/v1/join.pb.h"

namespace gantry::model {

// What one token may name.
inline constexpr int kJoinAddressesMax = 16;

std::string format_join_token(const v1::JoinToken& token);

// invalid_argument says whether it is of another version, cut off or mistyped, or no token at all. From outside: at
// most 4 KiB are looked at. Its addresses are "HOST:PORT", at least one; its fingerprint has 32 bytes.
Result<v1::JoinToken> parse_join_token(std::string_view text);

// "HOST:PORT" or "[IPv6]:PORT", of letters, digits and ".-:" alone.
struct LinkAddress {
  std::string host;
  std::string port;
};
Result<LinkAddress> parse_link_address(std::string_view text);
std::string format_link_address(std::string_view host, std::uint16_t port);

}  // namespace gantry::model
