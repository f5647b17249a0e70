// What all guests of this host share, and the blocking steps of a guest's life.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "port/hypervisor.h"
#include "qemu/guest_record.h"

namespace gantry::runtime {
class EventLoop;
class WorkerPool;
}  // namespace gantry::runtime

namespace gantry::qemu {

class Cgroups;
class ConsoleHub;

struct EngineOptions {
  // Guests' directories are made in its vms/. Short: a socket's path has 107 bytes at most.
  std::string state_directory;
  std::string emulator = "/usr/bin/qemu-system-x86_64";
  // "kvm" or "tcg".
  std::string accelerator = "tcg";
  std::string tpm_program = "/usr/bin/swtpm";
  std::string firmware_code = "/usr/share/OVMF/OVMF_CODE_4M.fd";
  std::string firmware_variables = "/usr/share/OVMF/OVMF_VARS_4M.fd";
  // How long a guest that was found may leave open how it is, before it is told as its record says.
  Milliseconds adoption_timeout_ms = 30'000;
};

struct Engine {
  runtime::EventLoop& loop;
  runtime::WorkerPool& workers;
  const Cgroups& cgroups;
  ConsoleHub& consoles;
  EngineOptions options;
  std::function<void(const port::GuestObservation&)> observer;
};

// A guest's process and the ends of its sockets.
struct GuestProcess {
  GuestRecord record;
  UniqueFd pidfd;
  UniqueFd qmp;
  UniqueFd serial;
  // Of its TPM, to be reaped; not valid: it has none.
  UniqueFd tpm;
};

// Blocks. A QEMU process that waits to be told to run its guest; its record is durable. On failure no process is left;
// the record is the one that was there, or this boot's in phase `starting`, for the caller to end. Reason
// "guest_process_lives": there is a process already. `reset_id`: the last reset done. `incoming`: it waits for the
// guest to come from another host; its record is in phase `receiving`.
Result<GuestProcess> launch_guest(const Engine& engine, const port::GuestDefinition& guest, const std::string& reset_id,
                                  bool incoming, const Now& now);

struct FoundGuest {
  // Nothing: the guest is not known, or its boot was begun (or it was to come) but never ran: it may be begun again. So
  // may one that ended with the machine itself (a reboot, a loss of power): its record is `ended` without the id of a
  // boot.
  std::optional<GuestRecord> record;
  // Valid while its process lives. Without `qmp` it could not be reached yet.
  UniqueFd pidfd;
  UniqueFd qmp;
  UniqueFd serial;
  std::string console_tail;
};

// Blocks. What an agent that was here before left of a guest; one that ended meanwhile gets its exit recorded. An error
// means that nothing is known of it: not that it is absent.
Result<FoundGuest> find_guest(const Engine& engine, const std::string& vm_id, const Now& now);

// Blocks. Records how a process that has ended did, and removes its cgroup. `cause`: why, where that is known better
// than QEMU said it.
GuestRecord settle_exit(const Engine& engine, GuestRecord record, const UniqueFd& pidfd, const Now& now,
                        const std::string& cause = {});

}  // namespace gantry::qemu
