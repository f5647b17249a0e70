// What hosts say, merged into the records' status.
#pragma once

#include <string>

#include "control/draft.h"
#include "gantry/v1/link.pb.h"

namespace gantry::control {

// What QEMU or a helper program said last is the longest.
inline constexpr std::size_t kStatusTextBytesMax = 4U << 10U;
// Sizes move all the time: puts small movements back to what was known.
void steady(const v1::PoolStatus& before, v1::PoolStatus& after);

// Whether it is an IP address.
bool is_address(const std::string& text);

bool is_newer(const v1::ObservationMark& a, const v1::ObservationMark& b);

// Takes over the new status if it says something new: a mark alone, or sizes that moved a little, are not written. A
// record that is being deleted and is not on its host any more goes (a VM loses its placement, its volumes go next).
// What is not from the record's own host, or older than what is known, is left out.
//
// A host says `absent` only of a record whose deletion it was told and has carried out.
void observe(Draft& draft, const std::string& host_id, const v1::ObservationMark& mark,
             const v1::Observation& observation);

// Status of the host itself. `connected`: by what the link says now.
void observe_host(v1::Host& host, const v1::HostStatus& status, const v1::ObservationMark& mark, Now now);

}  // namespace gantry::control
