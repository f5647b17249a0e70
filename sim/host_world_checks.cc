// What must hold when an agent starts or kills a guest.
#include <algorithm>

#include "sim/host_world.h"

namespace gantry::sim {
namespace {

constexpr Milliseconds kUnheardMs = 10;

}  // namespace

void HostWorld::check_boot(const port::GuestDefinition& definition) {
  const std::string& vm_id = definition.vm_id;
  check_place(vm_id);
  check_rule(vm_id);
  check_writers(definition);
  check_memory(definition);
  const bool committed = records_.was_committed(definition.boot_id) && records_.was_committed(vm_id);
  if (!committed)
    trace_.violation("guest " + vm_id + " boots for " + definition.boot_id + ", which was never committed");
}

// The rule is older than every VM it is about, and neither changes.
void HostWorld::check_rule(const std::string& vm_id) {
  const auto is_apart = [this](const std::string& id) {
    const auto vm = records_.vms.find(id);
    return vm != records_.vms.end() && vm->second.meta().labels().contains("set");
  };
  if (!is_apart(vm_id)) return;
  for (const auto& [other_id, other] : guests) {
    if (other_id != vm_id && owns_disks(other) && is_apart(other_id)) {
      trace_.violation("VM " + vm_id + " starts beside " + other_id + ", which a rule keeps it apart from");
    }
  }
}

void HostWorld::check_place(const std::string& vm_id) {
  const std::string home = records_.home_of(vm_id);
  if (home != host_id) {
    trace_.violation("guest " + vm_id + " boots on " + setup.name + " (" + host_id + "), and was placed on " + home);
  }
  for (const HostWorld* other : worlds_) {
    const auto twin = other->guests.find(vm_id);
    if (other == this || twin == other->guests.end() || !owns_disks(twin->second)) continue;
    trace_.violation("guest " + vm_id + " runs on two hosts: " + other->setup.name + " and " + setup.name);
  }
}

void HostWorld::check_runs_alone(const std::string& vm_id) {
  std::string where;
  for (const HostWorld* world : worlds_) {
    const auto guest = world->guests.find(vm_id);
    if (guest == world->guests.end() || !runs(guest->second)) continue;
    if (!where.empty()) {
      trace_.violation("guest " + vm_id + " runs on two hosts at once: " + where + " and " + world->setup.name);
    }
    where = world->setup.name;
  }
}

void HostWorld::check_writers(const port::GuestDefinition& definition) {
  for (const HostWorld* world : worlds_) {
    for (const auto& [other_id, other] : world->guests) {
      if (other_id == definition.vm_id || !owns_disks(other)) continue;
      for (const port::GuestDisk& theirs : other.definition.disks) {
        for (const port::GuestDisk& ours : definition.disks) {
          if (theirs.volume_id != ours.volume_id || (theirs.read_only && ours.read_only)) continue;
          trace_.violation("disk " + ours.volume_id + " has two writers: " + other_id + " and " + definition.vm_id);
        }
      }
    }
  }
}

void HostWorld::check_memory(const port::GuestDefinition& definition) {
  std::uint64_t memory_mib = definition.memory_mib;
  for (const auto& [other_id, other] : guests) {
    if (other_id != definition.vm_id && lives(other)) memory_mib += other.definition.memory_mib;
  }
  // Some is kept for the host itself (docs/reference/limits.md).
  const std::uint64_t usable_mib = setup.memory_mib - std::max<std::uint64_t>(256, setup.memory_mib / 16);
  if (memory_mib <= usable_mib) return;
  trace_.violation("guests hold " + std::to_string(memory_mib) + " MiB and may " + std::to_string(usable_mib));
}

void HostWorld::write_disks(const port::GuestDefinition& definition) {
  for (const port::GuestDisk& disk : definition.disks) {
    const std::string& id = disk.volume_id;
    if (deeds_.superseded.contains(id)) {
      trace_.violation("guest " + definition.vm_id + " runs with volume " + id + ", in whose place another came");
    }
    const auto [last, is_first] = deeds_.written.try_emplace(definition.vm_id + " " + disk.serial, deeds_.content[id]);
    if (!is_first && last->second != deeds_.content[id]) {
      trace_.violation("guest " + definition.vm_id + " does not find in volume " + id + " what it wrote last");
    }
    if (disk.read_only) continue;
    last->second = deeds_.content[id] = ++deeds_.writes;
  }
}

void HostWorld::decide_to_power_down(const std::string& vm_id) {
  const auto found = guests.find(vm_id);
  if (found == guests.end() || !lives(found->second) || found->second.asked_at_ms) return;
  found->second.asked_at_ms = own_time_ms();
}

// A guest that runs may be ended only by the wish of a user who does not care, or once it had its time.
void HostWorld::decide_to_kill(const std::string& vm_id) {
  const auto found = guests.find(vm_id);
  const auto vm = records_.vms.find(vm_id);
  if (found == guests.end() || vm == records_.vms.end()) return;
  const ModelGuest& guest = found->second;
  if (guest.state != GuestState::running && guest.state != GuestState::paused) return;
  const Milliseconds now_ms = own_time_ms();
  // The agent has not heard of it yet: it ends a start.
  if (now_ms - guest.ran_at_ms <= kUnheardMs) return;
  const Milliseconds due_ms =
      wishes_.shortest_stop_ms(vm->second.meta().name(), records_.committed_at_ms(guest.definition.boot_id));
  const Milliseconds had_ms = guest.asked_at_ms ? now_ms - *guest.asked_at_ms : 0;
  if (due_ms == 0 || (guest.asked_at_ms && had_ms >= due_ms)) return;
  trace_.violation("guest " + vm_id + " is killed " + std::to_string(had_ms) + " ms after it was asked to power off; " +
                   "nobody asked for less than " + std::to_string(due_ms));
}

}  // namespace gantry::sim
