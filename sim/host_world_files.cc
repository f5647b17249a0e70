// Which files of disks processes have open, and what happens to others from outside.
#include <algorithm>

#include "sim/host_world.h"

namespace gantry::sim {
namespace {

bool names_disk(const ModelGuest& guest, const std::string& volume_id) {
  if (guest.copying && guest.copying->copy.volume_id == volume_id) return true;
  const auto& disks = guest.definition.disks;
  return std::ranges::any_of(disks, [&](const auto& disk) { return disk.volume_id == volume_id; });
}

}  // namespace

std::string HostWorld::user_of(const std::string& volume_id) const {
  for (const auto& [vm_id, guest] : guests) {
    if (owns_disks(guest) && names_disk(guest, volume_id)) return vm_id;
  }
  return "";
}

// By a process, be it that its guest is on its way here or away.
bool HostWorld::is_open(const std::string& volume_id) const {
  return std::ranges::any_of(
      guests, [&](const auto& entry) { return lives(entry.second) && names_disk(entry.second, volume_id); });
}

bool HostWorld::uses_shared_disks() const {
  return std::ranges::any_of(guests, [this](const auto& entry) {
    const ModelGuest& guest = entry.second;
    return lives(guest) && std::ranges::any_of(guest.definition.disks, [this](const port::GuestDisk& disk) {
             return shared_files_.volumes.contains(disk.volume_id);
           });
  });
}

void HostWorld::damage_a_file() {
  if (!pool_mounted) return;
  std::vector<std::string> idle;
  for (const auto& [volume_id, volume] : volumes) {
    // The manager must have heard of it: before that it may be made again.
    const auto record = records_.volumes.find(volume_id);
    const bool known = record != records_.volumes.end() && record->second.status().state() == v1::VolumeStatus::READY;
    if (known && !is_open(volume_id)) idle.push_back(volume_id);
  }
  if (idle.empty()) return;
  const std::string& volume_id = idle[rng_.below(idle.size())];
  damaged.insert(volume_id);
  if (rng_.chance(1, 2)) {
    volumes[volume_id].corrupt = true;
  } else {
    volumes.erase(volume_id);
  }
  note("HOST", "the file of volume " + volume_id + " is damaged from outside");
}

}  // namespace gantry::sim
