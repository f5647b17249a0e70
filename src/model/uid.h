// The unprivileged user each guest runs as: a number made from the VM's id, without an entry in /etc/passwd. The range
// lies where "Users, Groups, UIDs and GIDs on systemd Systems" (systemd's UIDS-GIDS document) names no user: above the
// containers' (524288 to 1879048191), below 2^31 and the "foreign" numbers just under it (2147352576 to 2147418111),
// which systemd 258 added. Ids of VMs, volumes and images are drawn so that no two there are have the same number
// (control/change.h).
#pragma once

#include <cstdint>
#include <string_view>

#include "base/fnv.h"

namespace gantry::model {

inline constexpr std::uint32_t kGuestUidFirst = 1'880'000'000;
inline constexpr std::uint32_t kGuestUidCount = 260'000'000;

// The same in every version of Gantry.
constexpr std::uint32_t guest_uid(std::string_view vm_id) {
  return kGuestUidFirst + static_cast<std::uint32_t>(fnv1a(vm_id) % kGuestUidCount);
}

}  // namespace gantry::model
