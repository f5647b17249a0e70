// Gives a lease back in the name of a card that is gone (RFC 2131, DHCPRELEASE).
#pragma once

#include <string>

#include "network/dnsmasq_files.h"

namespace gantry::network {

// The message (RFC 951, RFC 2132). `lease.mac` was checked by model::parse_mac.
std::string make_dhcp_release(model::Ipv4Address server, const Lease& lease);

// Sends it to the server on this host's own `bridge`. Nobody answers it; failing only leaves the lease until it ends.
void send_dhcp_release(const std::string& bridge, const Lease& lease);

}  // namespace gantry::network
