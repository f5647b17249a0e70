#include "sim/host_world.h"

#include <algorithm>

namespace gantry::sim {

HostWorld::HostWorld(Stage& stage, MachineSetup machine)
    : setup(std::move(machine)),
      address("192.0.2." + std::to_string(stage.worlds.size() + 1)),
      calm(stage.calm),
      sentinel(stage, *this),
      scheduler_(stage.scheduler),
      trace_(stage.trace),
      rng_(stage.rng),
      swarm_(stage.swarm),
      deeds_(stage.deeds),
      records_(stage.records),
      wishes_(stage.wishes),
      worlds_(stage.worlds),
      shared_files_(*stage.shared_files) {
  stage.worlds.push_back(this);
}

void HostWorld::note(std::string_view who, const std::string& what) { trace_.note(who, setup.name + ": " + what); }

port::GuestObservation HostWorld::observation_of(const std::string& vm_id) const {
  port::GuestObservation observation;
  observation.vm_id = vm_id;
  const auto found = guests.find(vm_id);
  if (found == guests.end()) return observation;
  const ModelGuest& guest = found->second;
  observation.state = guest.state;
  observation.boot_id = guest.definition.boot_id;
  observation.reset_id = guest.reset_id;
  observation.exit = guest.exit;
  observation.accelerator = "tcg";
  observation.cpus = guest.definition.cpus;
  observation.memory_mib = guest.definition.memory_mib;
  observation.copies_disk = guest.copying.has_value();
  observation.fetching = guest.fetching && lives(guest);
  observation.disk_copy_id = guest.disk_copy_id;
  if (guest.disk_full && guest.state == GuestState::paused) {
    observation.problem.set_code("disk_full");
    observation.problem.set_summary("a disk of the guest is full");
  }
  return observation;
}

void HostWorld::changed(const std::string& vm_id) {
  if (guest_changed) guest_changed(vm_id);
}

// ---- guests

Result<std::uint32_t> HostWorld::owner_of(const port::GuestDisk& disk) const {
  const auto shared = shared_files_.volumes.find(disk.volume_id);
  if (shared != shared_files_.volumes.end()) {
    if (!shut_out_as.empty() && shut_out_as == host_id)
      return fail(ErrorCode::unavailable, "this machine is shut out of shared storage");
    return shared->second.uid;
  }
  const auto volume = volumes.find(disk.volume_id);
  if (volume == volumes.end() || !is_mounted(volume->second.pool_path)) {
    return fail(ErrorCode::not_found, "no file of disk " + disk.volume_id);
  }
  if (volume->second.corrupt) return fail(ErrorCode::corrupt, "disk " + disk.volume_id + " cannot be read");
  return volume->second.uid;
}

Result<void> HostWorld::check_definition(const port::GuestDefinition& definition) const {
  for (const port::GuestDisk& disk : definition.disks) {
    const auto owner = owner_of(disk);
    if (!owner) return fail(owner.error());
    if (*owner != definition.uid) {
      return fail(ErrorCode::permission_denied, "disk " + disk.volume_id + " belongs to another user");
    }
  }
  return {};
}

Result<void> HostWorld::begin_start(const port::GuestDefinition& definition) {
  const std::string& vm_id = definition.vm_id;
  const auto found = guests.find(vm_id);
  if (found != guests.end() && lives(found->second)) {
    trace_.violation("guest " + vm_id + " is started while it runs");
    return fail(ErrorCode::conflict, "the guest runs already");
  }
  if (auto checked = check_definition(definition); !checked) return checked;
  if (!definition.guard.empty() && !sentinel.guards(vm_id)) {
    return fail(ErrorCode::unavailable, "the sentinel does not guard this virtual machine");
  }
  check_boot(definition);
  ModelGuest guest;
  guest.definition = definition;
  if (found != guests.end()) {
    guest.reset_id = found->second.reset_id;
    guest.move_secret = found->second.move_secret;
    guest.went = found->second.went;
  }
  guest.process = ++processes_;
  guest.began_ms = scheduler_.now().monotonic_ms;
  guests[vm_id] = guest;
  note("guest", vm_id + " starting for " + definition.boot_id);
  changed(vm_id);
  return {};
}

void HostWorld::run(const std::string& vm_id) {
  ModelGuest& guest = guests[vm_id];
  guest.state = GuestState::running;
  guest.ran_at_ms = own_time_ms();
  note("guest", vm_id + " runs");
  if (guest.frozen) {
    guest.state = GuestState::paused;
    guest.ran_before = true;
  }
  sentinel.check_runs(vm_id);
  check_runs_alone(vm_id);
  write_disks(guest.definition);
  note_boot(vm_id);
  guest.ignores_acpi = !calm && rng_.chance(swarm_.ignores_acpi, 1'000);
  draw_life(vm_id);
  changed(vm_id);
}

void HostWorld::draw_life(const std::string& vm_id) {
  const auto some_time = static_cast<Milliseconds>(rng_.below(30'000));
  if (!calm && rng_.chance(swarm_.guest_powers_off, 1'000))
    end_later(vm_id, some_time, v1::VmExit::GUEST_SHUTDOWN, true);
  if (!calm && rng_.chance(swarm_.guest_crashes, 1'000)) end_later(vm_id, some_time, v1::VmExit::CRASH, true);
  if (!calm && rng_.chance(swarm_.disk_fills, 1'000)) fill_disk_later(vm_id, some_time);
}

void HostWorld::fill_disk_later(const std::string& vm_id, Milliseconds delay_ms) {
  scheduler_.at(delay_ms, [this, vm_id, process = guests[vm_id].process] {
    const auto found = guests.find(vm_id);
    if (calm || found == guests.end() || found->second.process != process) return;
    if (!runs(found->second) || found->second.sending) return;
    found->second.disk_full = true;
    found->second.state = GuestState::paused;
    note("guest", vm_id + " is held: its disk is full");
    changed(vm_id);
  });
}

Result<void> HostWorld::finish_start(const std::string& vm_id, std::uint64_t process, bool works) {
  const auto found = guests.find(vm_id);
  if (found == guests.end() || found->second.process != process || found->second.state != GuestState::starting) {
    return fail(ErrorCode::cancelled, "the guest was killed while it started");
  }
  if (works) {
    run(vm_id);
    return {};
  }
  end(vm_id, v1::VmExit::START_FAILED);
  return fail(ErrorCode::internal, "the emulator ended with status 1");
}

void HostWorld::orphan_start(const std::string& vm_id, std::uint64_t process) {
  const auto found = guests.find(vm_id);
  if (found == guests.end() || found->second.process != process || found->second.state != GuestState::starting) return;
  if (rng_.chance(1, 2)) {
    run(vm_id);
    return;
  }
  // What was known of earlier boots went with it: the next agent may begin this one again.
  note("guest", vm_id + " never came to run");
  guests.erase(found);
}

void HostWorld::end(const std::string& vm_id, v1::VmExit::Reason reason) {
  ModelGuest& guest = guests[vm_id];
  guest.state = GuestState::ended;
  guest.exit.Clear();
  guest.exit.set_reason(reason);
  guest.exit.set_boot_id(guest.definition.boot_id);
  guest.exit.mutable_at()->set_seconds(scheduler_.now().unix_ms / 1000);
  guest.exit_settled = guest_changed != nullptr;
  const bool copied = std::exchange(guest.copying, std::nullopt).has_value();
  if (guest.fetching) break_fetch(vm_id, guest.move_secret);
  note("guest", vm_id + " ended: " + v1::VmExit::Reason_Name(reason));
  changed(vm_id);
  if (std::exchange(guest.sending, std::nullopt) && send_ended) {
    send_ended(vm_id, fail(ErrorCode::conflict, "the guest has ended meanwhile"));
  }
  if (copied && copy_ended) copy_ended(vm_id, fail(ErrorCode::conflict, "the guest has ended meanwhile"));
}

void HostWorld::end_later(const std::string& vm_id, Milliseconds delay_ms, v1::VmExit::Reason reason, bool by_itself) {
  scheduler_.at(delay_ms, [this, vm_id, reason, by_itself, process = guests[vm_id].process] {
    if (by_itself && calm) return;
    const auto found = guests.find(vm_id);
    if (found != guests.end() && found->second.process == process && owns_disks(found->second)) end(vm_id, reason);
  });
}

Result<void> HostWorld::press_power_button(const std::string& vm_id) {
  const auto found = guests.find(vm_id);
  if (found == guests.end() || !lives(found->second) || found->second.state == GuestState::starting) {
    return fail(ErrorCode::conflict, "the guest does not run");
  }
  if (found->second.frozen) return fail(ErrorCode::unavailable, "the emulator does not answer");
  if (auto stays = check_stays(found->second); !stays) return stays;
  if (!found->second.ignores_acpi && found->second.state == GuestState::running) {
    end_later(vm_id, 500 + static_cast<Milliseconds>(rng_.below(8'000)), v1::VmExit::GUEST_SHUTDOWN);
  }
  return {};
}

void HostWorld::kill(const std::string& vm_id) {
  const auto found = guests.find(vm_id);
  if (found == guests.end() || !lives(found->second)) return;
  if (found->second.state == GuestState::receiving || found->second.state == GuestState::received) {
    end_receive(vm_id, found->second.process);
  } else {
    end(vm_id, v1::VmExit::FORCED);
  }
}

void HostWorld::end_by_sentinel(const std::string& vm_id) {
  const GuestState state = guests.at(vm_id).state;
  note("guest", vm_id + " is ended by the sentinel");
  if (state == GuestState::receiving || state == GuestState::received) return end_receive(vm_id, guests[vm_id].process);
  if (state != GuestState::sent) {
    trace_.violation("guest " + vm_id + " is ended by the sentinel of " + setup.name + ", and went to no other host");
  }
  end(vm_id, v1::VmExit::CRASH);
}

Result<void> HostWorld::set_paused(const std::string& vm_id, bool paused) {
  const auto found = guests.find(vm_id);
  if (found == guests.end() || !lives(found->second) || found->second.state == GuestState::starting) {
    return fail(ErrorCode::conflict, "the guest does not run");
  }
  // It goes on, and the same write fails again.
  if (found->second.frozen) return fail(ErrorCode::unavailable, "the emulator does not answer");
  if (!paused && found->second.disk_full && !calm && rng_.chance(1, 2)) return {};
  if (auto stays = check_stays(found->second); !stays) return stays;
  found->second.disk_full = false;
  found->second.state = paused ? GuestState::paused : GuestState::running;
  note("guest", vm_id + (paused ? " paused" : " resumed"));
  sentinel.check_runs(vm_id);
  check_runs_alone(vm_id);
  changed(vm_id);
  return {};
}

void HostWorld::set_frozen(const std::string& vm_id, bool frozen) {
  const auto found = guests.find(vm_id);
  if (found == guests.end() || !lives(found->second) || found->second.frozen == frozen) return;
  ModelGuest& guest = found->second;
  guest.frozen = frozen;
  trace_.note("guest", vm_id + (frozen ? " is frozen" : " is let go on"));
  if (guest.state != GuestState::running && guest.state != GuestState::paused) return;
  if (frozen) guest.ran_before = guest.state == GuestState::running;
  if (frozen || guest.ran_before) guest.state = frozen ? GuestState::paused : GuestState::running;
  if (!frozen) check_runs_alone(vm_id);
  changed(vm_id);
}

Result<void> HostWorld::reset(const std::string& vm_id, const std::string& reset_id) {
  const auto found = guests.find(vm_id);
  if (found == guests.end() || !lives(found->second)) return fail(ErrorCode::conflict, "the guest does not run");
  if (found->second.reset_id == reset_id) return {};
  if (auto stays = check_stays(found->second); !stays) return stays;
  found->second.reset_id = reset_id;
  note("guest", vm_id + " reset for " + reset_id);
  if (++deeds_.resets[reset_id] > 1) trace_.violation("guest " + vm_id + " was reset twice for operation " + reset_id);
  if (!records_.was_committed(reset_id)) trace_.violation("reset " + reset_id + " was never committed");
  changed(vm_id);
  return {};
}

void HostWorld::forget(const std::string& vm_id) {
  const auto found = guests.find(vm_id);
  if (found == guests.end()) return;
  if (lives(found->second)) trace_.violation("guest " + vm_id + " is forgotten while it lives");
  if (!records_.is_to_be_deleted(vm_id) && !records_.was_left(vm_id, host_id)) {
    trace_.violation("guest " + vm_id + " is forgotten, neither deleted nor gone to another host");
  }
  guests.erase(found);
  changed(vm_id);
}

void HostWorld::settle_exits() {
  for (auto& [vm_id, guest] : guests) {
    if (!lives(guest)) guest.exit_settled = true;
  }
}

// A crash that nobody saw is not to be told from the loss of the machine.
bool HostWorld::ended_with_machine(const ModelGuest& guest) {
  return lives(guest) || (!guest.exit_settled && guest.exit.reason() == v1::VmExit::CRASH);
}

std::map<std::string, GuestState> HostWorld::live_guests() const {
  std::map<std::string, GuestState> live;
  for (const auto& [vm_id, guest] : guests) {
    if (owns_disks(guest)) live[vm_id] = guest.state;
  }
  return live;
}

void HostWorld::lose_power() {
  note("HOST", "loses power");
  end_receives();
  for (auto& [vm_id, guest] : guests) {
    if (!ended_with_machine(guest)) continue;
    note("guest", vm_id + " ended with the machine");
    // Of one that went to another host it is not known yet where it goes on: see note_boot().
    if (!guest.went) deeds_.boots.erase(boot_key(vm_id, guest.definition.boot_id));
    guest.sending.reset();
    guest.copying.reset();
    guest.state = GuestState::ended;
    if (guest.fetching) break_fetch(vm_id, guest.move_secret);
    guest.definition.boot_id.clear();
    guest.exit.Clear();
  }
  networks.clear();
  sentinel.lose_power();
  filters.clear();
  // Before the manager knows of the pool it may rightly be made where it is not mounted.
  if (calm || !records_.knows_pool_ready(host_id, setup.pool_path) || !rng_.chance(swarm_.pool_comes_late, 1'000))
    return;
  note("HOST", "comes back without its pool");
  pool_mounted = false;
  scheduler_.at(static_cast<Milliseconds>(rng_.below(90'000)), [this] { mount_pool(); });
}

// ---- files

void HostWorld::mount_pool() {
  if (!pool_mounted) note("HOST", "its pool is mounted");
  pool_mounted = true;
}

Result<void> HostWorld::use_pool(const port::PoolRequest& request) {
  if (is_mounted(request.path)) return {};
  if (request.is_new) trace_.violation("a pool is made anew below the mount point of the one that is not there");
  return fail(ErrorCode::unavailable, "the pool is not mounted", "", "", "pool_unusable");
}

Result<port::VolumeFacts> HostWorld::inspect_volume(const port::VolumeRequest& request) {
  if (auto usable = use_pool(request.pool); !usable) return fail(usable.error());
  const auto volume = volumes.find(request.volume_id);
  if (volume == volumes.end()) return fail(ErrorCode::not_found, "no file of volume " + request.volume_id);
  if (volume->second.corrupt) return fail(ErrorCode::corrupt, "volume " + request.volume_id + " cannot be read");
  if (request.uid != 0) volume->second.uid = request.uid;
  return port::VolumeFacts{.path = request.pool.path + "/" + request.volume_id,
                           .capacity_bytes = volume->second.capacity_bytes,
                           .allocation_bytes = 1U << 30U};
}

Result<port::VolumeFacts> HostWorld::create_volume(const port::VolumeRequest& request) {
  if (auto usable = use_pool(request.pool); !usable) return fail(usable.error());
  const auto volume = volumes.find(request.volume_id);
  if (volume != volumes.end()) return inspect_volume(request);
  if (!request.image_path.empty() && !images.contains(request.image_path)) {
    return fail(ErrorCode::not_found, "no image at " + request.image_path);
  }
  if (!calm && allocated_gib() + 1 > setup.pool_capacity_gib) {
    return fail(ErrorCode::out_of_space, "the pool is full", "", "", "pool_full");
  }
  if (damaged.contains(request.volume_id)) {
    trace_.violation("volume " + request.volume_id + " was lost and is made anew, blank");
  }
  for (const HostWorld* other : worlds_) {
    if (!other->volumes.contains(request.volume_id)) continue;
    trace_.violation("volume " + request.volume_id + " is on two hosts: " + other->setup.name + " and " + setup.name);
  }
  volumes[request.volume_id] = {.capacity_bytes = request.capacity_bytes,
                                .image_path = request.image_path,
                                .corrupt = false,
                                .uid = request.uid,
                                .pool_path = request.pool.path};
  note("disk", "volume " + request.volume_id + " made");
  return inspect_volume(request);
}

Result<port::VolumeFacts> HostWorld::resize_volume(const port::VolumeRequest& request) {
  if (auto usable = use_pool(request.pool); !usable) return fail(usable.error());
  const auto volume = volumes.find(request.volume_id);
  if (volume == volumes.end()) return inspect_volume(request);
  if (const std::string user = user_of(request.volume_id); !user.empty()) {
    trace_.violation("volume " + request.volume_id + " is resized while " + user + " has it open");
  }
  if (request.capacity_bytes < volume->second.capacity_bytes) {
    trace_.violation("volume " + request.volume_id + " is made smaller");
  }
  volume->second.capacity_bytes = request.capacity_bytes;
  note("disk", "volume " + request.volume_id + " resized");
  return inspect_volume(request);
}

Result<void> HostWorld::delete_volume(const port::VolumeRequest& request) {
  if (auto usable = use_pool(request.pool); !usable) return usable;
  const std::string& volume_id = request.volume_id;
  if (!volumes.contains(volume_id)) return {};
  if (const std::string user = user_of(volume_id); !user.empty()) {
    trace_.violation("volume " + volume_id + " is deleted while " + user + " has it open");
  }
  if (!records_.is_to_be_deleted(volume_id)) {
    trace_.violation("volume " + volume_id + " is deleted, and nobody asked for it");
  }
  volumes.erase(volume_id);
  note("disk", "volume " + volume_id + " deleted");
  return {};
}

Result<port::ImageFacts> HostWorld::inspect_image(const port::ImageRequest& request) {
  if (auto usable = use_pool(request.pool); !usable) return fail(usable.error());
  const std::string path = request.pool.path + "/" + request.image_id;
  if (!images.contains(path)) return fail(ErrorCode::not_found, "no image " + request.image_id);
  return port::ImageFacts{.path = path,
                          .initramfs_path = request.spec.kind() == v1::ImageSpec::KERNEL ? path + ".initramfs" : "",
                          .virtual_size_bytes = 1U << 30U,
                          .allocation_bytes = 1U << 30U};
}

Result<port::ImageFacts> HostWorld::import_image(const port::ImageRequest& request) {
  if (auto usable = use_pool(request.pool); !usable) return fail(usable.error());
  const std::string path = request.pool.path + "/" + request.image_id;
  if (images.insert(path).second) note("disk", "image " + request.image_id + " made");
  return inspect_image(request);
}

Result<void> HostWorld::delete_image(const port::ImageRequest& request) {
  if (auto usable = use_pool(request.pool); !usable) return usable;
  const std::string& image_id = request.image_id;
  const std::string path = request.pool.path + "/" + image_id;
  if (images.erase(path) == 0) return {};
  for (const auto& [volume_id, volume] : volumes) {
    if (volume.image_path == path) trace_.violation("image " + image_id + " is deleted under volume " + volume_id);
  }
  if (!records_.is_to_be_deleted(image_id)) {
    trace_.violation("image " + image_id + " is deleted, and nobody asked for it");
  }
  note("disk", "image " + image_id + " deleted");
  return {};
}

void HostWorld::wipe() {
  note("HOST", "is set up anew");
  guests.clear();
  volumes.clear();
  images.clear();
  networks.clear();
  seeds.clear();
  tpms.clear();
  damaged.clear();
  sentinel.wipe();
  pool_mounted = true;
}

void HostWorld::keep_from_before() {
  from_before = seeds;
  from_before.insert(tpms.begin(), tpms.end());
  from_before.insert(images.begin(), images.end());
  for (const auto& [id, guest] : guests) from_before.insert(id);
  for (const auto& [id, volume] : volumes) from_before.insert(id);
  for (const auto& [id, network] : networks) from_before.insert(id);
}

}  // namespace gantry::sim
