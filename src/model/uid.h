// The unprivileged user each guest runs as: a number made from the VM's id, without an entry in /etc/passwd. The range
// lies above what systemd and container managers hand out and is wide enough that two VMs of a host hardly ever meet
// (a thousand VMs: one chance in a thousand); if they do, they are guarded from each other by QEMU's sandbox alone.
#pragma once

#include <cstdint>
#include <string_view>

namespace gantry::model {

inline constexpr std::uint32_t kGuestUidFirst = 1'000'000'000;
inline constexpr std::uint32_t kGuestUidCount = 500'000'000;

// FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/), so that it is the same in every version of Gantry.
constexpr std::uint32_t guest_uid(std::string_view vm_id) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char letter : vm_id) {
    hash ^= static_cast<unsigned char>(letter);
    hash *= 0x100000001b3U;
  }
  return kGuestUidFirst + static_cast<std::uint32_t>(hash % kGuestUidCount);
}

}  // namespace gantry::model
