// A VM that goes from one host to another while it runs: what each of the two does next, and what it says. Pure, like
// vm_machine.h, whose part this is. The order of things is told at VmMove in api/gantry/v1/vm.proto.
//
// Why the guest never runs twice. The source sends everything, and its guest stands. It signs its lease over only after
// the target said that everything came; from then on it never lets the guest go on. The target lets it go on only as
// the VM's host, under its own lease, which it can only have after the source's was signed over.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "gantry/v1/vm.pb.h"
#include "port/move.h"

namespace gantry::host {

struct VmInput;
struct VmPlan;

enum class VmRole {
  resident,  // the VM is placed here
  arriving,  // it is to come here
  leaving,   // it is not, or no longer, to be here: what is left is taken away
  stranger,  // it was never here
};

VmRole role_of(const v1::Vm& vm, const std::string& host_id);
// Empty: that host does not leave.
const v1::LeftHost& leave_of(const v1::Vm& vm, const std::string& host_id);
// The leave that the host is to tell the end of; 0: it does not leave.
std::uint64_t left_epoch(const v1::Vm& vm, const std::string& host_id);
// Those of its disks, by position, whose content goes with it; the record of the target names their copies.
std::vector<std::size_t> copied_disks(const v1::Vm& vm);

// So long a guest that was sent stands still without a word of the target.
inline constexpr Milliseconds kSentPatienceMs = 10'000;
// How far a move is, or the copying of a disk, is told no more often: each is a write of the manager's.
inline constexpr Milliseconds kProgressEveryMs = 1'000;

// What this run of the agent remembers of the move under way, or of the one that ended last.
struct MoveMemory {
  std::string task_id;
  // Of the target: where its guest is waited for.
  std::optional<v1::MoveAddress> address;
  // It cannot be done: see VmMoveStatus.FAILED.
  std::optional<v1::Problem> problem;
  // As counted, measured and told by QEMU so far.
  v1::VmMoveStatus figures;
  // When progress was told last.
  Milliseconds told_at_ms = 0;
  bool measured = false;
  // Sending is being given up.
  bool stops_sending = false;
  // QEMU was told to let a guest that was sent go on here. Whatever it answered, it may do so: the lease stays here.
  bool taken_back = false;
  // The lease is to be signed over: there is no way back.
  bool gives = false;
  std::optional<Milliseconds> sent_at_ms;
  std::optional<Milliseconds> received_at_ms;
  // What is missing of its memory is fetched, or was when its process ended; and since when it has gone on here.
  bool fetching = false;
  Milliseconds went_on_at_ms = 0;
  // It belongs to this host since, and no process that has it is left.
  bool lost = false;
};

// Forgets what was of another move, and notes since when things are as they are.
void refresh_move(MoveMemory& memory, const v1::Vm& wanted, const port::GuestObservation& guest, Now now);

// Its process stands, and the other host fetches from it what it misses of the memory.
bool serves_memory(const port::GuestObservation& guest);
// The source signed its lease over, or another has it by the move under way.
bool is_given(const VmInput& input);
// Nobody here can say yet whether its guest went to the other host or ended.
bool may_be_given(const VmInput& input);
// Sending goes on as long as nothing else is wanted of the guest.
bool wants_to_be_sent(const VmInput& input);
// The boot that is there is to run on, and nothing else is asked of it.
bool is_left_running(const VmInput& input);

// The guest was given to this host, whose agent saw it come, and its process ended before it went on: it has crashed.
// One that was lost unseen, as with the machine's power, is booted like all others then.
std::optional<VmPlan> plan_lost(const VmInput& input);

// Of a guest that runs here. Nothing: it is tended as ever.
std::optional<VmPlan> plan_sending(const VmInput& input);
// Of a guest in one of the states of a move on the host that the VM is placed on.
VmPlan plan_moved(const VmInput& input);
VmPlan plan_arrival(const VmInput& input);
VmPlan plan_leave(const VmInput& input);

v1::VmMoveStatus target_status(const VmInput& input, const VmPlan& plan);
// Of the VM's host. Without a task: there was no move.
v1::VmMoveStatus source_status(const VmInput& input);

}  // namespace gantry::host
