// Guests on this host. The hypervisor is the truth about what runs: it remembers, beside each guest and across crashes
// of the agent, which boot and which reset it did, and tells it in its observations.
//
// Threads: methods are called on the host's executor and return at once; `done` and observations come on that executor.
// Every call is answered once. Calls for one guest are made one after another (the next after `done`), but for kill(),
// which may come at any time and makes the call under way fail soon.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "gantry/v1/host.pb.h"
#include "gantry/v1/network.pb.h"
#include "gantry/v1/storage.pb.h"
#include "gantry/v1/vm.pb.h"

namespace gantry::port {

using Done = std::function<void(Result<void>)>;

struct GuestDisk {
  std::string path;
  v1::VolumeSpec::Format format = v1::VolumeSpec::QCOW2;
  v1::VmDisk::Bus bus = v1::VmDisk::VIRTIO;
  bool read_only = false;
  std::string volume_id;
  // As the guest finds it, which may know the disk by it; empty: none.
  std::string serial = {};
};

struct GuestNic {
  std::string mac;
  v1::VmNic::Model model = v1::VmNic::VIRTIO;
  // The tap made by the network driver; empty: user-mode networking with `forwards`.
  std::string tap;
  std::vector<v1::PortForward> forwards;
  std::string ipv4;
};

// All that is needed to start a guest: nothing is looked up elsewhere.
struct GuestDefinition {
  std::string vm_id;
  std::string name;
  std::string boot_id;
  std::uint32_t cpus = 1;
  std::uint32_t memory_mib = 0;
  bool uefi = false;
  // QEMU's name of what its processors are; empty: everything this machine has.
  std::string cpu_model;
  std::vector<GuestDisk> disks;  // the first boots
  std::vector<GuestNic> nics;
  // Direct kernel boot; empty: from the first disk.
  std::string kernel;
  std::string initramfs;
  std::string kernel_arguments;
  // An ISO 9660 file with the NoCloud seed; empty: none.
  std::string seed;
  // Where its TPM keeps what it must not forget: made when it is missing, in a directory that is there. Empty: it has
  // no TPM.
  std::string tpm_directory;
  // Whether it has the device by which it tells what memory it uses.
  bool balloon = false;
  // The unprivileged user this guest runs as; its disks and seed were made readable to it. 0: whoever the daemon is
  // (only where it has no rights to change users).
  std::uint32_t uid = 0;
  // When it began to run, if it did so on another host; 0: it begins here.
  std::int64_t started_unix_ms = 0;
  // The file by which the sentinel guards it (LeaseObservation::guard): its process runs only while the sentinel has
  // that open. Empty: nobody guards it.
  std::string guard;
};

struct GuestObservation {
  enum class State {
    absent,    // it is not here
    unknown,   // nobody can look now whether it is; `problem` says why
    starting,  // a process is there but does not run the guest yet
    running,
    paused,
    receiving,  // a process waits for a guest that runs on another host (port/move.h)
    received,   // everything of it came: it may run here once that is allowed
    sent,       // everything of it went to another host: it stands, and goes on here only if it does not there
    ended,      // no process; `exit` says how the boot ended
  };
  std::string vm_id;
  State state = State::absent;
  std::string boot_id;
  // The last reset done.
  std::string reset_id;
  v1::VmExit exit;
  // Why QEMU itself holds the guest's processors (run states io-error: code "disk_full"; internal-error:
  // "guest_stopped"); `state` is paused then. Or of `unknown`. Without a code: nobody but a caller of pause() holds
  // them.
  v1::Problem problem;
  v1::GuestFacts guest;
  std::string accelerator;
  std::int64_t started_unix_ms = 0;
  // What this boot has; 0: not known.
  std::uint32_t cpus = 0;
  std::uint32_t memory_mib = 0;
  // The last copy of a disk that the guest came to use (port/disk_copy.h); also of a boot that ended.
  std::string disk_copy_id;
  // A disk of it is being copied, or it cannot be told yet which it uses.
  bool copies_disk = false;
  // It came, or went, by postcopy (port/move.h), and part of its memory is still on its way between the two processes.
  bool fetching = false;
};

class Hypervisor {
 public:
  virtual ~Hypervisor() = default;

  // From now on tells each guest's state: first all that is there, then every change. `complete` is called once after
  // the first round: before it, absence means nothing.
  virtual void observe(std::function<void(const GuestObservation&)> observer, std::function<void()> complete) = 0;

  // Done when the guest's processors run. On failure nothing of the attempt is left but `ended` with START_FAILED, or
  // nothing at all where nobody guards it (not_guarded). A guest that already runs with that boot_id: done at once.
  virtual void start(const GuestDefinition& guest, Done done) = 0;
  // Presses the power button (ACPI); done when pressed, not when the guest is off.
  virtual void power_down(const std::string& vm_id, Done done) = 0;
  // Done when no process is left; also when there was none. The exit is recorded as FORCED.
  virtual void kill(const std::string& vm_id, Done done) = 0;
  virtual void pause(const std::string& vm_id, Done done) = 0;
  virtual void resume(const std::string& vm_id, Done done) = 0;
  // Once for each reset_id, whatever crashes in between.
  virtual void reset(const std::string& vm_id, const std::string& reset_id, Done done) = 0;
  // Forgets an ended guest: its record, logs and sockets. It is `absent` then.
  virtual void forget(const std::string& vm_id, Done done) = 0;
};

// What this machine is.
class HostFacts {
 public:
  virtual ~HostFacts() = default;
  // Fills everything but state, last_seen_at and observed.
  virtual void probe(std::function<void(const v1::HostStatus&)> done) = 0;
};

}  // namespace gantry::port
