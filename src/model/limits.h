// What a virtual machine and its parts may be at most, for admission and for whoever has to make it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gantry::model {

inline constexpr std::uint32_t kCpusMax = 255;  // more need x2APIC ids, which neither TCG nor every guest has
inline constexpr std::uint32_t kMemoryMibMin = 16;
inline constexpr std::uint32_t kMemoryMibMax = 16U << 20U;  // 16 TiB
inline constexpr std::uint64_t kVolumeBytesMin = 1ULL << 20U;
inline constexpr std::uint64_t kVolumeBytesMax = 64ULL << 40U;
inline constexpr std::size_t kUserDataBytesMax = 64U << 10U;
inline constexpr int kDisksMax = 24;
// Ports of the machine's only SATA controller.
inline constexpr int kSataDisksMax = 6;
inline constexpr int kNicsMax = 8;
// Disks and NICs together: slots of the machine's root bus that are left for them.
inline constexpr int kDevicesMax = 24;
inline constexpr int kPortForwardsMax = 64;
inline constexpr int kSecurityGroupsMax = 16;  // of one NIC
inline constexpr int kSecurityRulesMax = 256;  // of one group
// What IPv4 asks of every link (RFC 791: 68, hosts 576), and jumbo frames less an overlay's head.
inline constexpr std::uint32_t kMtuMin = 576;
inline constexpr std::uint32_t kMtuMax = 9'200;
// VMs, or hosts, that one rule names; by labels it may be about more.
inline constexpr int kRuleMembersMax = 256;
inline constexpr std::uint32_t kStopTimeoutSecondsMax = 86'400;
// Of a move: how long its guest may be let stand still, and the least it may be told to use of the network.
inline constexpr std::uint32_t kMoveDowntimeMsDefault = 100;
inline constexpr std::uint32_t kMoveDowntimeMsMax = 10'000;
inline constexpr std::uint32_t kMoveConnectionsMax = 16;
inline constexpr std::uint64_t kMoveBytesPerSecondMin = 1ULL << 20U;
inline constexpr std::uint64_t kMoveBytesPerSecondMax = 1ULL << 40U;
// Moves that a host takes part in at once, from it and to it, where Gantry itself empties hosts.
inline constexpr std::size_t kMovesAtOnce = 2;
// An upload that has not come so long after its image was made does not come.
inline constexpr std::int64_t kUploadWaitMs = 24LL * 3600 * 1000;

}  // namespace gantry::model
