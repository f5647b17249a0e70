#include "sim/settled.h"

#include "model/network_kinds.h"
#include "model/state.h"
#include "sim/emptied.h"
#include "sim/host_world.h"

namespace gantry::sim {
namespace {

template <class Record>
std::string text(const Record& record) {
  return record.meta().id() + " \"" + record.meta().name() + "\": " + record.status().ShortDebugString();
}

std::string open_task(const Records& records) {
  for (const auto& [id, task] : records.tasks) {
    // A maintenance waits for guests that cannot go: what_is_not_emptied().
    if (!model::is_ended(task.state()) && task.action() != "host.update") {
      return "task " + id + " (" + task.action() + " of " + task.target_id() +
             ") has not ended: " + task.progress().phase();
    }
  }
  return "";
}

template <class Record>
std::string still_deleting(const std::map<std::string, Record>& records) {
  for (const auto& [id, record] : records) {
    if (record.meta().has_deletion()) return "to be deleted and still there: " + text(record);
  }
  return "";
}

std::string wrong_live(const v1::Vm& vm, const ModelGuest& guest) {
  const v1::VmSpec& spec = vm.spec();
  if (spec.power() == v1::VmSpec::STOPPED) return "runs and should not: " + text(vm);
  if (guest.definition.boot_id != spec.boot_id()) return "runs an older boot: " + text(vm);
  const bool paused = spec.power() == v1::VmSpec::PAUSED;
  if (guest.state != (paused ? GuestState::paused : GuestState::running))
    return "is not in the state asked for: " + text(vm);
  if (vm.status().state() != (paused ? v1::VmStatus::PAUSED : v1::VmStatus::RUNNING)) {
    return "is told to be in another state than it is: " + text(vm);
  }
  return "";
}

// The machine that is that host now; none: nullptr.
const HostWorld* world_of(const Stage& stage, const std::string& host_id) {
  for (const HostWorld* world : stage.worlds) {
    if (world->host_id == host_id && stage.records.hosts.contains(host_id)) return world;
  }
  return nullptr;
}

std::string wrong_vm(const v1::Vm& vm, const HostWorld& world) {
  const auto found = world.guests.find(vm.meta().id());
  const bool known = found != world.guests.end();
  if (known && HostWorld::lives(found->second)) return wrong_live(vm, found->second);
  const v1::VmStatus& status = vm.status();
  const bool over = status.state() == v1::VmStatus::STOPPED || status.state() == v1::VmStatus::CRASHED ||
                    status.state() == v1::VmStatus::FAILED;
  if (vm.spec().power() == v1::VmSpec::STOPPED) {
    const bool at_rest = over || vm.placement().host_id().empty();
    return at_rest ? "" : "is off, and told to be otherwise: " + text(vm);
  }
  const bool boot_ended = known && found->second.definition.boot_id == vm.spec().boot_id();
  const bool boot_failed = status.failed_operation_id() == vm.spec().boot_id() && !vm.spec().boot_id().empty();
  if (!boot_ended && !boot_failed && !vm.placement().host_id().empty()) return "should run: " + text(vm);
  return over || vm.placement().host_id().empty() ? "" : "ended, and told to be otherwise: " + text(vm);
}

// A guest's NICs let through what their groups say now.
std::string wrong_filter(const v1::Vm& vm, const Records& records, const HostWorld& world) {
  const auto guest = world.guests.find(vm.meta().id());
  if (guest == world.guests.end() || !HostWorld::lives(guest->second)) return "";
  for (int i = 0; i < vm.spec().nics_size(); ++i) {
    const auto filter = world.filters.find(vm.meta().id() + "/" + std::to_string(i));
    if (filter == world.filters.end()) return "runs without NIC " + std::to_string(i) + ": " + text(vm);
    if (filter->second != filter_of(vm.spec().nics(i), records.security_groups)) {
      return "has other security groups on NIC " + std::to_string(i) + " than it should: " + text(vm);
    }
  }
  return "";
}

std::string wrong_vms(const Stage& stage) {
  for (const auto& [id, vm] : stage.records.vms) {
    if (vm.placement().has_move()) return "is being moved: " + text(vm);
    if (vm.placement().has_disk_move()) return "has a disk that is being moved: " + text(vm);
    if (vm.placement().left_hosts_size() != 0) return "is to be cleared away from hosts that it left: " + text(vm);
    const HostWorld* world = world_of(stage, stage.records.home_of(id));
    std::string wrong = world == nullptr ? "is on no machine: " + text(vm) : wrong_vm(vm, *world);
    if (wrong.empty() && world != nullptr) wrong = wrong_filter(vm, stage.records, *world);
    if (!wrong.empty()) return wrong;
  }
  return "";
}

bool is_on_all(const Stage& stage, const std::string& network_id) {
  return std::ranges::all_of(stage.worlds, [&](const HostWorld* world) {
    return !stage.records.hosts.contains(world->host_id) || world->networks.contains(network_id);
  });
}

bool is_open(const Stage& stage, const std::string& volume_id) {
  return std::ranges::any_of(stage.worlds, [&](const HostWorld* world) { return !world->user_of(volume_id).empty(); });
}

std::string wrong_things(const Stage& stage) {
  const Records& records = stage.records;
  for (const auto& [id, volume] : records.volumes) {
    if (!volume.spec().copy_of().empty()) return "is the copy of a volume: " + text(volume);
    const auto state = volume.status().state();
    const HostWorld* world = world_of(stage, records.home_of(id));
    const bool shared = stage.shared_files->volumes.contains(id);
    const bool there = shared || (world != nullptr && (world->volumes.contains(id) || world->damaged.contains(id)));
    if (state == v1::VolumeStatus::READY && !there) return "has no file: " + text(volume);
    // A growth that failed, its task ended, is tried again by an agent that did not see that: once no guest has it
    // open.
    if (state == v1::VolumeStatus::RESIZING && is_open(stage, id)) continue;
    if (state != v1::VolumeStatus::READY && state != v1::VolumeStatus::FAILED) return "is not ready: " + text(volume);
  }
  for (const auto& [id, image] : records.images) {
    const auto state = image.status().state();
    if (state != v1::ImageStatus::READY && state != v1::ImageStatus::FAILED) return "is not ready: " + text(image);
  }
  for (const auto& [id, network] : records.networks) {
    const auto state = network.status().state();
    const HostWorld* world = world_of(stage, records.home_of(id));
    if (state != v1::NetworkStatus::READY && state != v1::NetworkStatus::FAILED)
      return "is not ready: " + text(network);
    const bool everywhere = model::spans_hosts(network);
    if (everywhere && !is_on_all(stage, id)) return "is not on every host: " + text(network);
    if (!everywhere && state == v1::NetworkStatus::READY && (world == nullptr || !world->networks.contains(id)))
      return "is not on the host: " + text(network);
  }
  for (const auto& [id, pool] : records.pools) {
    if (!pool.spec().shared() && pool.status().state() != v1::PoolStatus::READY) return "is not ready: " + text(pool);
  }
  for (const auto& [id, host] : records.hosts) {
    if (host.status().state() != v1::HostStatus::CONNECTED) return "is not connected: " + text(host);
  }
  return "";
}

std::string left_behind(const Records& records, const SharedFiles& files) {
  for (const auto& [id, volume] : files.volumes) {
    if (!records.volumes.contains(id) && !files.came_late.contains(id))
      return "the file of shared volume " + id + " is left behind";
  }
  for (const std::string& path : files.images) {
    const std::string id = path.substr(path.rfind('/') + 1);
    if (!records.images.contains(id) && !files.came_late.contains(id))
      return "the image at " + path + " is left behind";
  }
  for (const std::string& id : files.tpms) {
    if (!records.vms.contains(id)) return "the TPM of VM " + id + " is left behind";
  }
  return "";
}

// What the host holds and no record asks for.
std::string left_behind(const Records& records, const HostWorld& world) {
  const auto known = [&world](const auto& kind, const std::string& id) {
    return kind.contains(id) || world.from_before.contains(id);
  };
  // It may be another host's by now.
  const auto is_its_vm = [&](const std::string& id) {
    const bool here = records.vms.contains(id) && records.home_of(id) == world.host_id;
    return here || world.from_before.contains(id);
  };
  for (const auto& [id, guest] : world.guests) {
    if (!is_its_vm(id)) return "guest " + id + " is left on " + world.setup.name + ", and is none of its own";
  }
  for (const auto& [id, volume] : world.volumes) {
    if (!known(records.volumes, id)) return "the file of volume " + id + " is left behind";
  }
  for (const std::string& path : world.images) {
    const bool old = world.from_before.contains(path);
    if (!old && !records.images.contains(path.substr(path.rfind('/') + 1)))
      return "the image at " + path + " is left behind";
  }
  for (const auto& [id, record] : world.sentinel.private_leases()) {
    const bool came_late = world.sentinel.came_late.contains(id);
    if (records.vms.contains(id) && !is_its_vm(id) && !came_late)
      return "a lease of VM " + id + " is left on " + world.setup.name;
  }
  for (const std::string& id : world.tpms) {
    if (!is_its_vm(id)) return "the TPM of VM " + id + " is left behind on " + world.setup.name;
  }
  for (const std::string& id : world.seeds) {
    if (!is_its_vm(id)) return "the seed of VM " + id + " is left behind on " + world.setup.name;
  }
  for (const auto& [id, attached] : world.networks) {
    if (!known(records.networks, id)) return "network " + id + " is left behind";
    for (const std::string& vm_id : attached) {
      const auto guest = world.guests.find(vm_id);
      if (guest == world.guests.end() || !HostWorld::lives(guest->second)) {
        return "VM " + vm_id + " is off and still attached to network " + id;
      }
    }
  }
  return "";
}

}  // namespace

std::string what_is_missing(const Stage& stage) {
  const Records& records = stage.records;
  std::string missing = open_task(records);
  if (missing.empty()) missing = still_deleting(records.vms);
  if (missing.empty()) missing = still_deleting(records.volumes);
  if (missing.empty()) missing = still_deleting(records.images);
  if (missing.empty()) missing = still_deleting(records.networks);
  if (missing.empty()) missing = still_deleting(records.pools);
  if (missing.empty()) missing = still_deleting(records.hosts);
  if (missing.empty()) missing = wrong_vms(stage);
  if (missing.empty()) missing = wrong_things(stage);
  if (missing.empty()) missing = what_is_not_emptied(stage);
  if (missing.empty()) missing = left_behind(records, *stage.shared_files);
  for (const HostWorld* world : stage.worlds) {
    // What is on a machine that has left nobody clears away.
    if (missing.empty() && records.hosts.contains(world->host_id)) missing = left_behind(records, *world);
  }
  return missing;
}

}  // namespace gantry::sim
