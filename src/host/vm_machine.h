// One VM on this host: what to do next, and what to say of it. Pure functions of what is wanted, what the hypervisor
// shows, and what this run of the agent remembers of the attempt under way.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "gantry/v1/vm.pb.h"
#include "host/disk_move_machine.h"
#include "host/move_machine.h"
#include "host/trouble.h"
#include "port/hypervisor.h"

namespace gantry::host {

enum class VmStep {
  none,
  attach,  // the NIC after those in VmMemory::nics
  make_seed,
  start,
  power_down,
  kill,
  pause,
  resume,
  reset,
  detach,
  delete_seed,
  forget,
  remove_lease,
  fail,  // nothing can be done for `operation_id`: `problem` says why
  gone,  // deleted or left, nothing is left here
  // Of a move (move_machine.h).
  receive,
  measure,
  send,
  stop_sending,
  give,       // the lease is to be signed over
  take_over,  // what was received, or sent, is this host's guest
  // Of a disk's move (disk_move_machine.h).
  copy_disk,
  stop_copying,
};

// Lost when the agent ends: everything in it can be found out or done again.
struct VmMemory {
  // The boot that `nics` and `seed` are for.
  std::string boot_id;
  std::vector<port::GuestNic> nics;
  std::optional<std::string> seed;
  // No NIC of it is attached. Unknown, so false, at first.
  bool detached = false;
  bool seed_deleted = false;
  bool lease_removed = false;
  bool tpm_deleted = false;
  // The hypervisor has nothing of it, nor a file of a process that only waited for it.
  bool forgotten = false;
  // The boot being stopped, since when, and when its guest was asked last.
  std::string stopping_boot_id;
  Milliseconds stopping_since_ms = 0;
  std::optional<Milliseconds> asked_at_ms;
  // When to let a guest go on that QEMU holds (see is_held); nothing: it holds none.
  std::optional<Milliseconds> held_resume_at_ms;
  // The boot first seen in `starting` without a call of ours, and since when.
  std::string found_starting_boot_id;
  Milliseconds found_starting_since_ms = 0;
  // A definite one ended the operation it names: its boot or its reset is not tried again.
  MaybeTrouble trouble;
  // Of detaching what is no longer needed, which ends no operation.
  MaybeTrouble cleanup_trouble;
  MoveMemory move;
  DiskMoveMemory disk_move;
};

// What a start needs of other records.
struct VmNeeds {
  // Empty: everything is ready.
  std::string waiting_for;
  // Set: it will not become ready by itself.
  std::optional<v1::Problem> problem;
  // Too little is known yet to say how it is.
  bool unknown = false;
  // The guest is started and let go on only under its lease.
  v1::LeaseStatus lease;
  // A process that waits for the guest may be here.
  bool is_guarded = false;
  // The sentinel cannot do its part in a move.
  bool sentinel_is_too_old = false;
  // The volume that a disk is copied to can be written; it cannot be made.
  bool copy_ready = false;
  std::optional<v1::Problem> copy_problem;
};

struct VmInput {
  const v1::Vm& wanted;
  // What the hypervisor shows; absent when it knows nothing of the VM.
  const port::GuestObservation& guest;
  const VmMemory& memory;
  const VmNeeds& needs;
  VmRole role = VmRole::resident;
  // Of one that leaves: its lease here is of no use any more.
  bool leaves_lease = false;
  // The call under way, `none` between calls.
  VmStep under_way = VmStep::none;
  std::uint32_t default_stop_timeout_seconds = 60;
  Now now;
};

struct VmPlan {
  VmStep step = VmStep::none;
  std::string waiting_for = {};
  // When to plan again though nothing happened; monotonic.
  std::optional<Milliseconds> wake_at_ms = {};
  // Of `fail`.
  std::string operation_id = {};
  v1::Problem problem = {};
};

// The last reset done. A hypervisor that forgot (a boot that was begun and cut short by a crash) does not make it
// undone.
const std::string& last_reset(const v1::Vm& wanted, const port::GuestObservation& guest);

// A process of that guest is there, or may be.
bool is_live(const port::GuestObservation& guest);

// On its way from or to another host.
bool is_moving(const port::GuestObservation& guest);

// QEMU itself holds the guest's processors, as after a write to a full disk: letting it go on may work later.
bool is_held(const port::GuestObservation& guest);
inline constexpr Milliseconds kResumeHeldMs = 15'000;

// The sentinel holds the guest and lets it go on, nobody else. QEMU may be frozen and know nothing of it.
bool is_held_by_sentinel(const v1::LeaseStatus& lease);

// Forgets what belongs to operations no longer wanted, and notes since when things are as they are.
void refresh_memory(VmMemory& memory, const v1::Vm& wanted, const port::GuestObservation& guest,
                    const v1::LeaseStatus& lease, VmStep under_way, Now now);

// What is left to do before the boot, or the arrival, that is wanted here can begin; no step and nothing to wait for:
// nothing.
VmPlan plan_preparation(const VmInput& input);

// The next call to make. While one is under way only `kill`, `stop_sending` and `stop_copying` may be answered, to cut
// it short.
VmPlan plan_vm(const VmInput& input);

// Nothing while too little is known to say anything.
std::optional<v1::VmStatus> vm_status(const VmInput& input, const VmPlan& plan, const std::string& host_id);

}  // namespace gantry::host
