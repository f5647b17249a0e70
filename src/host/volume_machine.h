// One volume on this host: pure functions, as in vm_machine.h.
#pragma once

#include <optional>
#include <string>

#include "base/time.h"
#include "gantry/v1/storage.pb.h"
#include "host/trouble.h"
#include "port/storage.h"

namespace gantry::host {

enum class VolumeStep { none, inspect, create, resize, remove, fail };

enum class Presence { unknown, absent, present };

struct VolumeMemory {
  Presence presence = Presence::unknown;
  // This run of the agent saw it: when it is absent later, it was lost.
  bool was_present = false;
  // Of what another host keeps: when it was looked for last, in vain.
  Milliseconds missed_at_ms = 0;
  port::VolumeFacts facts;
  // Whom the storage was last told may open it (each of its calls gives the volume to that user).
  std::uint32_t uid = 0;
  v1::Progress progress;
  MaybeTrouble trouble;
  // Of making it larger: it is as good as before.
  MaybeTrouble growth_trouble;
};

struct VolumeInput {
  const v1::Volume& wanted;
  const VolumeMemory& memory;
  VolumeStep under_way = VolumeStep::none;
  bool pool_known = false;
  // Another host keeps it: it is looked at, and nothing else.
  bool look_only = false;
  // What a creation has to wait for (its image); empty: nothing. With `needs_problem` it will not come by itself.
  std::string waiting_for;
  std::optional<v1::Problem> needs_problem;
  // The VM whose guest has it open, or may have; empty: none.
  std::string in_use_by;
  // Whom it should belong to.
  std::uint32_t uid = 0;
  Now now;
};

struct VolumePlan {
  VolumeStep step = VolumeStep::none;
  std::string waiting_for = {};
  std::optional<Milliseconds> wake_at_ms = {};
  // Of `fail`.
  v1::Problem problem = {};
};

// So long a host waits before it looks again for what another is to make. File systems that hosts share may take their
// time to show it.
inline constexpr Milliseconds kLookAgainMs = 2'000;

// It was here once, as the manager was told: a new blank one must not take its place.
bool was_ready(const v1::Volume& volume);

// It is smaller than wanted, and that can still change.
bool grows(const v1::Volume& wanted, const VolumeMemory& memory);

// While a creation is under way `remove` may be answered, to cut it short.
VolumePlan plan_volume(const VolumeInput& input);

// Nothing while too little is known to say anything.
std::optional<v1::VolumeStatus> volume_status(const VolumeInput& input, const VolumePlan& plan,
                                              const std::string& host_id);

}  // namespace gantry::host
