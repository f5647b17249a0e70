// The record of one lease as it lies beside the VM's disks: one block of a fixed size, written in place. Whoever may
// write the pool may write anything here: what does not parse is a record of nobody, and is handled as one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::host {

struct LeaseRecord {
  // A host's id. Empty: what lies there cannot be read.
  std::string owner = {};
  std::uint64_t epoch = 0;
  // Changes with every write.
  std::uint64_t counter = 0;
  // Whom the owner gave it to, at which epoch; empty: nobody.
  std::string heir = {};
  std::uint64_t heir_epoch = 0;

  bool operator==(const LeaseRecord&) const = default;
};

// A multiple of all block sizes that direct I/O asks for. The record itself is in its first 512 bytes, which disks
// write as a whole.
inline constexpr std::size_t kLeaseBlockBytes = 4'096;
inline constexpr std::size_t kLeaseHostIdBytesMax = 100;

// kLeaseBlockBytes. The ids are not longer than kLeaseHostIdBytesMax.
std::string to_block(const LeaseRecord& record);
// corrupt, or unsupported for a later version's.
Result<LeaseRecord> parse_lease_block(std::string_view block);
// Stands for a block that cannot be read: without owner and epoch, its counter changes with its bytes.
LeaseRecord unreadable_record(std::string_view block);

}  // namespace gantry::host
