// The truth about one machine: guests, files, networks. It outlives every crash of the agent; the checks of what must
// never happen, there and across machines, sit where it would happen.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/rng.h"
#include "port/disk_copy.h"
#include "port/hypervisor.h"
#include "port/move.h"
#include "port/network.h"
#include "port/storage.h"
#include "sim/model_sentinel.h"
#include "sim/shared_files.h"
#include "sim/stage.h"

namespace gantry::sim {

using GuestState = port::GuestObservation::State;

struct ModelGuest {
  GuestState state = GuestState::starting;
  port::GuestDefinition definition;
  std::string reset_id;
  v1::VmExit exit;
  bool ignores_acpi = false;
  // Since when its processors ran, and when the agent asked it first to power off.
  Milliseconds ran_at_ms = 0;
  std::optional<Milliseconds> asked_at_ms;
  // An agent saw the end and wrote it down beside the guest. Until then only QEMU's words and a kill begun tell of it.
  bool exit_settled = false;
  // A write met a full disk: the emulator holds the processors.
  bool disk_full = false;
  // Its process is stopped by the sentinel or the kernel; its processors ran before.
  bool frozen = false;
  bool ran_before = false;
  // Grows with each process, so that what was planned for an earlier one does not meet a later one.
  std::uint64_t process = 0;
  Milliseconds began_ms = 0;
  // Of the last move that it came or went by, or was to.
  std::string move_secret;
  // It may go on at the target of that move while what it misses of its memory is fetched; and it is now.
  bool postcopy = false;
  bool fetching = false;
  struct Sending {
    // It stands still, and the last of it is on its way.
    bool stands = false;
    bool stopped = false;
  };
  std::optional<Sending> sending;
  // Of a move that copies disks, by position: at the source those that are sent, at the target those that are awaited.
  std::vector<std::size_t> copied_disks;
  // At the target: the volumes that they were filled from.
  std::set<std::string> copied_from;
  // Everything of it is with the other process, and it did not go on here since.
  bool went = false;
  // A disk of it that is being copied, and the last copy that it came to use.
  std::optional<port::DiskCopyRequest> copying;
  std::string disk_copy_id;
};

struct ModelVolume {
  std::uint64_t capacity_bytes = 0;
  std::string image_path;
  bool corrupt = false;
  std::uint32_t uid = 0;
  std::string pool_path;
};

struct MachineSetup {
  std::string name;
  // Of its first pool, whose file system may come later than the machine.
  std::string pool_path;
  std::uint64_t memory_mib = 16'384;
  std::uint64_t pool_capacity_gib = 1'000;
  MachineClock clock;
};

std::string boot_key(const std::string& vm_id, const std::string& boot_id);

// The groups of a NIC with their rules, as text; empty: it has none.
std::string filter_of(const v1::VmNic& nic, const std::map<std::string, v1::SecurityGroup>& groups);

class HostWorld {
 public:
  HostWorld(Stage& stage, MachineSetup setup);

  const MachineSetup setup;
  // By which other machines reach it.
  const std::string address;
  // As a host of the cluster; the last one, when it has left. Empty: it never was one.
  std::string host_id;
  // As the host that it was then, it cannot open shared disks any more: users who say that it is off saw to that.
  std::string shut_out_as;
  // Files and guests that it had before it joined, or joined anew: nobody clears them away.
  std::set<std::string> from_before;
  std::map<std::string, ModelGuest> guests;
  std::map<std::string, ModelVolume> volumes;
  std::set<std::string> images;
  // Networks made, each with the VMs attached to it.
  std::map<std::string, std::set<std::string>> networks;
  // By NIC ("vm-…/0") that is attached, what its security groups are there: see filter_of().
  std::map<std::string, std::string> filters;
  std::set<std::string> seeds;
  // Of VMs, by id: what their TPMs keep in this host's own pools.
  std::set<std::string> tpms;
  // Volumes whose file was removed or spoilt from outside, ever.
  std::set<std::string> damaged;
  // Told of every change while an agent observes.
  std::function<void(const std::string& vm_id)> guest_changed;
  // Told of a guest that was being sent, while an agent is there.
  std::function<void(const std::string& vm_id, const port::MoveProgress& progress)> send_goes_on;
  std::function<void(const std::string& vm_id, const Result<void>& result)> send_ended;
  // Told of the end of a disk's copy, likewise.
  std::function<void(const std::string& vm_id, const Result<void>& result)> copy_ended;
  bool pool_mounted = true;
  // Until then, by true time, each call to its disk takes long, or fails.
  Milliseconds disk_slow_until_ms = 0;
  Milliseconds disk_fails_until_ms = 0;
  // After that nothing goes wrong by itself any more.
  bool calm = false;
  ModelSentinel sentinel;

  // What the hypervisor does.
  Result<void> begin_start(const port::GuestDefinition& definition);
  Result<void> finish_start(const std::string& vm_id, std::uint64_t process, bool works);
  // The agent died between the two: the process ran on, or did not.
  void orphan_start(const std::string& vm_id, std::uint64_t process);
  Result<void> press_power_button(const std::string& vm_id);
  // The agent decides to: what it does to the guest comes later.
  void decide_to_power_down(const std::string& vm_id);
  void decide_to_kill(const std::string& vm_id);
  void kill(const std::string& vm_id);
  Result<void> set_paused(const std::string& vm_id, bool paused);
  // What the sentinel, or the kernel in its place, does.
  void set_frozen(const std::string& vm_id, bool frozen);
  Result<void> reset(const std::string& vm_id, const std::string& reset_id);
  void forget(const std::string& vm_id);
  // What ended while no agent was there is looked at by the next one, and written down.
  void settle_exits();
  // The sentinel ends a process whose guest is another host's.
  void end_by_sentinel(const std::string& vm_id);

  // What the mover does. Two processes that speak with each other go on when their agents die.
  Result<void> begin_receive(const port::GuestDefinition& definition, const port::MoveTerms& terms);
  Result<v1::MoveAddress> listen(const std::string& vm_id, std::uint64_t process, const std::string& host);
  void end_receive(const std::string& vm_id, std::uint64_t process);
  Result<void> begin_send(const std::string& vm_id, const port::MoveRequest& request);
  void stop_sending(const std::string& vm_id);
  Result<void> take_over(const std::string& vm_id, bool runs);
  // What an agent does about moves that one before it began.
  void end_found_moves();

  // What the copier does.
  Result<void> begin_copy(const std::string& vm_id, const port::DiskCopyRequest& request);
  void stop_copying(const std::string& vm_id);
  // What an agent does about copies that one before it began.
  void end_found_copies();

  // What the storage does.
  Result<port::VolumeFacts> create_volume(const port::VolumeRequest& request);
  Result<port::VolumeFacts> inspect_volume(const port::VolumeRequest& request);
  Result<port::VolumeFacts> resize_volume(const port::VolumeRequest& request);
  Result<void> delete_volume(const port::VolumeRequest& request);
  Result<port::ImageFacts> import_image(const port::ImageRequest& request);
  Result<port::ImageFacts> inspect_image(const port::ImageRequest& request);
  Result<void> delete_image(const port::ImageRequest& request);
  // Fails while the pool's file system is not mounted; to take such a pool for a new one is a violation.
  Result<void> use_pool(const port::PoolRequest& request);
  void mount_pool();
  [[nodiscard]] bool is_mounted(const std::string& path) const { return pool_mounted || path != setup.pool_path; }
  [[nodiscard]] std::uint64_t allocated_gib() const { return volumes.size() + 2 * images.size(); }

  // What the network does.
  Result<port::GuestNic> attach(const port::NicRequest& request);
  Result<void> set_overlay(const std::string& network_id, const std::vector<v1::OverlayEntry>& entries);
  Result<void> set_groups(const port::NicRequest& request);
  void detach(const std::string& vm_id);
  void remove_network(const std::string& network_id);

  // Everything that runs is gone at once; files stay. As the engine tells it (find_guest() in src/qemu/engine.cc), a
  // guest that ended with the machine has no boot any more, which may so begin again: `ended`, without a boot and an
  // exit, but with its last reset. The pool's file system may come back later than the host. No agent is there.
  void lose_power();
  // Somebody deletes or spoils a file of a volume no guest has open.
  void damage_a_file();
  // It is set up anew: nothing is left. No agent is there.
  void wipe();
  // Nothing that is there now was made for the host it becomes.
  void keep_from_before();
  // The time that its own clock shows.
  [[nodiscard]] Milliseconds own_time_ms() const { return setup.clock.shown_at(scheduler_.now().monotonic_ms); }

  // The guest that has a volume open; "": none.
  [[nodiscard]] std::string user_of(const std::string& volume_id) const;
  [[nodiscard]] bool is_open(const std::string& volume_id) const;
  [[nodiscard]] static bool lives(const ModelGuest& guest) { return guest.state != GuestState::ended; }
  // Its processors run now.
  [[nodiscard]] static bool runs(const ModelGuest& guest);
  // It may run without anybody's further word, so its disks are its own. One that comes from another host, or went to
  // one, does not touch them.
  [[nodiscard]] static bool owns_disks(const ModelGuest& guest);
  [[nodiscard]] bool uses_shared_disks() const;
  // What the processors of each guest with a process do.
  [[nodiscard]] std::map<std::string, GuestState> live_guests() const;
  [[nodiscard]] port::GuestObservation observation_of(const std::string& vm_id) const;

 private:
  // Whose file a guest's disk is.
  [[nodiscard]] Result<std::uint32_t> owner_of(const port::GuestDisk& disk) const;
  [[nodiscard]] Result<void> check_definition(const port::GuestDefinition& definition) const;
  // What must hold whenever a guest's process begins.
  void check_boot(const port::GuestDefinition& definition);
  void check_rule(const std::string& vm_id);
  void check_place(const std::string& vm_id);
  void check_writers(const port::GuestDefinition& definition);
  void check_memory(const port::GuestDefinition& definition);
  // It goes on with the disks as it left them, and writes to them.
  void write_disks(const port::GuestDefinition& definition);
  // Everything that was sent of its disks is in the target's files.
  [[nodiscard]] Result<void> copy_disks(const ModelGuest& guest, ModelGuest& awaited);
  // Whatever leases say.
  void check_runs_alone(const std::string& vm_id);
  void note(std::string_view who, const std::string& what);
  void end(const std::string& vm_id, v1::VmExit::Reason reason);
  [[nodiscard]] static bool ended_with_machine(const ModelGuest& guest);
  // It is not being moved.
  static Result<void> check_stays(const ModelGuest& guest);
  void end_receives();
  void end_later(const std::string& vm_id, Milliseconds delay_ms, v1::VmExit::Reason reason, bool by_itself = false);
  void run(const std::string& vm_id);
  // What a guest may do by itself.
  void draw_life(const std::string& vm_id);
  void note_boot(const std::string& vm_id);
  // Of a move; the guest of that process, while it is sent, or nullptr.
  [[nodiscard]] ModelGuest* guest_of(const std::string& vm_id, std::uint64_t process);
  [[nodiscard]] ModelGuest* sent_guest(const std::string& vm_id, std::uint64_t process);
  [[nodiscard]] HostWorld* target_of(const std::string& vm_id, const std::string& secret) const;
  [[nodiscard]] bool move_breaks(const std::string& vm_id, const ModelGuest& guest);
  void tell_progress(const std::string& vm_id, std::uint64_t process, Milliseconds began_ms, Milliseconds takes_ms);
  void stand(const std::string& vm_id, std::uint64_t process);
  void arrive(const std::string& vm_id, std::uint64_t process);
  void has_come(const std::string& vm_id, std::uint64_t process);
  void has_gone(const std::string& vm_id, std::uint64_t process);
  void end_send(const std::string& vm_id, const Error& why);
  void go_on_from(const std::string& vm_id, const std::string& secret);
  // The machines whose processes have part of that guest each.
  [[nodiscard]] std::vector<HostWorld*> fetchers(const std::string& vm_id, const std::string& secret) const;
  void begin_fetch(const std::string& vm_id, HostWorld& target);
  void look_at_fetch(const std::string& vm_id, const std::string& secret, Milliseconds ends_ms);
  void break_fetch(const std::string& vm_id, const std::string& secret);
  bool end_fetch_to_go_on(const std::string& vm_id);
  void copy_later(const std::string& vm_id, std::uint64_t process, const std::string& id, Milliseconds delay_ms);
  void copy_is_in_step(const std::string& vm_id, std::uint64_t process);
  void end_copy(const std::string& vm_id, const Error& why);
  void fill_disk_later(const std::string& vm_id, Milliseconds delay_ms);
  void changed(const std::string& vm_id);

  Scheduler& scheduler_;
  Trace& trace_;
  Rng& rng_;
  const Swarm& swarm_;
  Deeds& deeds_;
  const Records& records_;
  const Wishes& wishes_;
  const std::vector<HostWorld*>& worlds_;
  const SharedFiles& shared_files_;
  std::uint64_t processes_ = 0;
};

}  // namespace gantry::sim
