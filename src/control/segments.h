// Networks that are on every host (VLAN, OVERLAY): how each host has them, and what that is together.
//
// `status.hosts` has an entry for every host from the moment that both are on record until the host said that nothing
// of the network is left there, or left itself. A host is told of the network only while it has one: so a deletion
// waits for whoever may have made something.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/draft.h"
#include "gantry/v1/link.pb.h"

namespace gantry::control {

// nullptr when it has none.
const v1::NetworkOnHost* find_on_host(const v1::Network& network, const std::string& host_id);

// The host is to have it from now on.
void expect_on_host(v1::Network& network, const std::string& host_id);
// The host, which is new, is to have all there are.
void expect_all_on_host(Draft& draft, const std::string& host_id);
// Of a host that leaves, once nothing of the networks is left there or nobody waits for it any more.
void forget_on_host(Draft& draft, const std::string& host_id);
[[nodiscard]] bool is_left_on_host(const Draft& draft, const std::string& host_id);

// Takes over what that host says of itself.
void observe_segment(Draft& draft, const std::string& host_id, const v1::ObservationMark& mark,
                     const v1::Observation& observation);

// The network's own state, of what connected hosts said: READY once each of them is or has said why it cannot be, and
// one is; those that cannot be are named in its problem. FAILED when none can. A deleted one that is nowhere goes.
void settle_segment(Draft& draft, const std::string& network_id);

// The hosts that a deletion waits for, and which of them are not connected.
std::string waited_for(const Draft& draft, const v1::Network& network);

// The network as that host is to have it: of a host that leaves, to be taken down. Nothing of it, when the host has
// nothing to do with it.
std::optional<v1::Assignment> segment_assignment(const View& view, const v1::Network& network,
                                                 const std::string& host_id);
// Whether that host has nothing left to do for it.
bool is_settled_on_host(const v1::Network& network, const std::string& host_id);

// Whether a VM that is placed there, or on its way there, has a NIC in it.
bool has_nic_on(const View& view, const v1::Network& network, const std::string& host_id);

// Where the NICs on other hosts are, when the host has one in it itself.
std::vector<v1::OverlayEntry> overlay_entries(const View& view, const v1::Network& network, const std::string& host_id);

}  // namespace gantry::control
