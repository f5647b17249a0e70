#include "sim/emptied.h"

#include <algorithm>

#include "model/network_kinds.h"
#include "model/state.h"
#include "sim/host_world.h"

namespace gantry::sim {
namespace {

// Of a host: kept for itself, and virtual processors for each of its own.
constexpr std::uint64_t kKeptMibMin = 256;
constexpr std::uint64_t kKeptShare = 16;
constexpr std::uint64_t kCpuOvercommit = 16;
// A task names no more.
constexpr std::size_t kToldMax = 5;

std::string in_short(const v1::Vm& vm) { return vm.meta().id() + " \"" + vm.meta().name() + "\""; }

// Guests on that machine that a record has there, and that run or are to run on.
std::vector<const v1::Vm*> guests_of(const Records& records, const HostWorld& world) {
  std::vector<const v1::Vm*> guests;
  for (const auto& [id, guest] : world.guests) {
    const auto vm = records.vms.find(id);
    if (vm != records.vms.end() && HostWorld::lives(guest)) guests.push_back(&vm->second);
  }
  return guests;
}

const v1::Task* open_task(const Records& records, const std::string& host_id) {
  for (const auto& [id, task] : records.tasks) {
    const bool open = task.action() == "host.update" && !model::is_ended(task.state());
    if (open && task.target_id() == host_id) return &task;
  }
  return nullptr;
}

// Nothing of it is on one host alone, and no rule and no user binds it.
bool is_movable(const Stage& stage, const v1::Vm& vm) {
  const Records& records = stage.records;
  const v1::VmSpec& spec = vm.spec();
  if (!spec.host().empty() || spec.disks().empty() || vm.meta().labels_size() != 0) return false;
  if (spec.power() != v1::VmSpec::RUNNING || vm.status().state() != v1::VmStatus::RUNNING) return false;
  if (!spec.image().empty()) return false;
  const bool shared = std::ranges::all_of(spec.disks(), [&](const v1::VmDisk& disk) {
    const auto volume = records.volumes.find(disk.volume());
    return volume != records.volumes.end() && records.shared_pools.contains(volume->second.spec().pool());
  });
  return shared && std::ranges::all_of(spec.nics(), [&](const v1::VmNic& nic) {
           const auto network = records.networks.find(nic.network());
           return network != records.networks.end() && model::spans_hosts(network->second) &&
                  nic.port_forwards().empty();
         });
}

template <class Things, class State>
bool is_ready_on(const Things& hosts, const std::string& host_id, State ready) {
  return std::ranges::any_of(hosts,
                             [&](const auto& there) { return there.host_id() == host_id && there.state() == ready; });
}

bool reaches(const Records& records, const v1::Vm& vm, const std::string& host_id) {
  for (const v1::VmDisk& disk : vm.spec().disks()) {
    const std::string& pool_id = records.volumes.at(disk.volume()).spec().pool();
    if (!is_ready_on(records.pools.at(pool_id).status().hosts(), host_id, v1::PoolStatus::READY)) return false;
  }
  return std::ranges::all_of(vm.spec().nics(), [&](const v1::VmNic& nic) {
    const v1::Network& network = records.networks.at(nic.network());
    return is_ready_on(network.status().hosts(), host_id, v1::NetworkStatus::READY);
  });
}

// Beside all that may ever run there.
bool has_room(const Records& records, const v1::Vm& vm, const v1::Host& host) {
  std::uint64_t memory_mib = vm.spec().memory_mib();
  std::uint64_t cpus = vm.spec().cpus();
  for (const auto& [id, other] : records.vms) {
    if (other.placement().host_id() != host.meta().id()) continue;
    memory_mib += other.spec().memory_mib();
    cpus += other.spec().cpus();
  }
  const std::uint64_t all_mib = host.status().memory_bytes() >> 20U;
  return memory_mib + std::max(kKeptMibMin, all_mib / kKeptShare) <= all_mib &&
         cpus <= kCpuOvercommit * host.status().cpus();
}

// The name of a host that has all it needs; empty: there is none, as far as can be said for sure.
std::string could_go_to(const Stage& stage, const v1::Vm& vm) {
  if (!is_movable(stage, vm)) return "";
  for (const auto& [id, host] : stage.records.hosts) {
    const bool takes = host.status().state() == v1::HostStatus::CONNECTED && !host.spec().cordoned() &&
                       !host.spec().maintenance() && !host.meta().has_deletion();
    if (id == vm.placement().host_id() || !takes) continue;
    if (reaches(stage.records, vm, id) && has_room(stage.records, vm, host)) return host.meta().name();
  }
  return "";
}

std::string wrong_guests(const Stage& stage, const v1::Host& host, const HostWorld& world) {
  const auto guests = guests_of(stage.records, world);
  const v1::Task* task = open_task(stage.records, host.meta().id());
  if (guests.empty()) {
    return task == nullptr ? "" : "task " + task->meta().id() + " waits for guests to leave, and none is there";
  }
  const std::string where = " on host " + host.meta().name() + ", which is in maintenance";
  if (task == nullptr) return in_short(*guests.front()) + " runs" + where + ", and no task waits for that to end";
  for (const v1::Vm* vm : guests) {
    if (const std::string to = could_go_to(stage, *vm); !to.empty()) {
      return in_short(*vm) + " is left" + where + ", and could be on " + to + ": " + task->progress().phase();
    }
    if (task->progress().phase().find(vm->meta().name() + ": ") != std::string::npos) continue;
    if (guests.size() > kToldMax) continue;
    return in_short(*vm) + " is left" + where + ", and nobody says why: " + task->progress().phase();
  }
  return "";
}

}  // namespace

std::string what_is_not_emptied(const Stage& stage) {
  for (const auto& [id, host] : stage.records.hosts) {
    if (!host.spec().maintenance()) {
      const v1::Task* task = open_task(stage.records, id);
      if (task != nullptr) return "task " + task->meta().id() + " has not ended, though the maintenance has";
      continue;
    }
    for (const HostWorld* world : stage.worlds) {
      if (world->host_id != id) continue;
      if (std::string wrong = wrong_guests(stage, host, *world); !wrong.empty()) return wrong;
    }
  }
  return "";
}

}  // namespace gantry::sim
