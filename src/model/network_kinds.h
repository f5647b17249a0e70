// What the kinds of networks have in common.
#pragma once

#include "gantry/v1/network.pb.h"

namespace gantry::model {

// On every host, not on one.
inline bool spans_hosts(v1::NetworkSpec::Kind kind) {
  return kind == v1::NetworkSpec::VLAN || kind == v1::NetworkSpec::OVERLAY;
}
inline bool spans_hosts(const v1::Network& network) { return spans_hosts(network.spec().kind()); }

// Gantry gives its guests their addresses and names, and a way to the outside.
inline bool has_gateway(v1::NetworkSpec::Kind kind) {
  return kind == v1::NetworkSpec::NAT || kind == v1::NetworkSpec::OVERLAY;
}

// Its guests are on somebody else's segment: addresses come from the wire, if they are not given.
inline bool is_foreign_segment(v1::NetworkSpec::Kind kind) {
  return kind == v1::NetworkSpec::BRIDGE || kind == v1::NetworkSpec::VLAN;
}

}  // namespace gantry::model
