// What is durably known of one guest, beside it on disk: which boot and which reset it did, its process, how it ended.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "gantry/v1/vm.pb.h"

namespace gantry::qemu {

// A disk that is copied while the guest runs, or was (disk_copy.h).
struct DiskCopyNote {
  enum class Phase {
    none,
    // The guest uses the node `from`.
    copying,
    // It uses `to`; or it did not run, nor write, since both were the same.
    switching,
  };
  Phase phase = Phase::none;
  // As in port::DiskCopyRequest.
  std::string id = {};
  std::size_t index = 0;
  // Block nodes.
  std::string from = {};
  std::string to = {};
};

struct GuestRecord {
  enum class Phase {
    // Written before QEMU is executed. Not known to have run the guest.
    starting,
    // Written likewise; it waits for a guest that runs on another host, and has not run it yet.
    receiving,
    running,
    // A reset under way: see reset_wanted, and Guest::reset() in guest_control.cc.
    resetting,
    ended,
  };
  std::string vm_id;
  std::string boot_id;
  Phase phase = Phase::starting;
  // The last reset done.
  std::string reset_id = {};
  std::string reset_wanted = {};
  // The guest ran when the reset began, so it is to run after it.
  bool resume_after_reset = false;
  // It was told as failed: it is not to be done any more, and counts only if QEMU has done it already.
  bool reset_given_up = false;
  // A process is this one only if its number, the time it began and the machine's own boot all agree.
  pid_t pid = 0;
  std::uint64_t pid_start_ticks = 0;
  std::string machine_boot_id = {};
  // Set before Gantry ends it, so that the exit is known to be forced.
  bool forced = false;
  std::string accelerator = {};
  std::int64_t started_unix_ms = 0;
  // 0: written before these were.
  std::uint32_t cpus = 0;
  std::uint32_t memory_mib = 0;
  // The guest went to another host, which fetches the rest of its memory from this process.
  bool serves = false;
  v1::VmExit exit = {};
  DiskCopyNote disk_copy = {};
};

std::string to_text(const GuestRecord& record);
// corrupt when it is not such a record.
Result<GuestRecord> parse_guest_record(std::string_view text);

}  // namespace gantry::qemu
