// What one seed rehearses: each draws its own mix of faults and work, so that some runs meet much of one thing and none
// of another.
#pragma once

#include <cstdint>

#include "base/rng.h"
#include "base/time.h"
#include "store/faulty_store.h"

namespace gantry::sim {

inline constexpr std::size_t kMachinesMax = 5;

struct Swarm {
  // The manager's own and those that join.
  std::size_t machines = 1;
  // Clocks run so many parts in a million too fast or too slow at most, and dates are wrong by so much at most.
  std::int64_t drift_ppm_max = 0;
  Milliseconds date_off_ms_max = 0;
  Milliseconds chaos_ms = 60'000;
  // One of so many events is followed by a crash; 0: never.
  std::uint64_t agent_crash_every = 0;
  std::uint64_t manager_crash_every = 0;
  std::uint64_t power_loss_every = 0;
  std::uint64_t link_break_every = 0;
  std::uint64_t file_damage_every = 0;
  // A way that is cut, a disk that is slow or fails, of one machine, for up to so long.
  std::uint64_t trouble_every = 0;
  Milliseconds trouble_ms_max = 1;
  // Chances in a thousand that a host that joined is to leave.
  std::uint64_t leaves = 0;
  // Chances in a thousand of each power loss.
  std::uint64_t pool_comes_late = 0;
  // Chances in a thousand of each message.
  std::uint64_t losses = 0;
  std::uint64_t duplicates = 0;
  // Chances in a thousand of each call to the host's adapters.
  std::uint64_t transient_errors = 0;
  std::uint64_t definite_errors = 0;
  std::uint64_t slow_calls = 0;
  // Chances in a thousand of each boot.
  std::uint64_t ignores_acpi = 0;
  std::uint64_t guest_powers_off = 0;
  std::uint64_t guest_crashes = 0;
  std::uint64_t disk_fills = 0;
  // One of so many events is followed by a crash of the sentinel; chances in a thousand of each read and write of a
  // lease.
  std::uint64_t sentinel_crash_every = 0;
  std::uint64_t lease_errors = 0;
  // Between calls of the clients.
  Milliseconds pause_ms_max = 3'000;
  // In a thousand: the client repeats a call that was answered.
  std::uint64_t repeats = 0;
  // There is a pool that several hosts may have, and users put things there.
  bool shared_pool = false;
  // All of them, also those that come later; and users mostly make VMs that can be moved, and move them.
  bool moves = false;
  std::uint64_t shared_pool_gib = 100;
  // A rule made before all else keeps VMs with the label "set" apart.
  bool has_rule = false;
  // Of the machine that joins and lies; 0: there is none.
  std::uint64_t hostile_seed = 0;
  store::FaultRates store;
};

Swarm draw_swarm(Rng& rng);

}  // namespace gantry::sim
