// What users ask for.
#include <algorithm>

#include "gantry/v1/routes.pb.h"
#include "model/network_kinds.h"
#include "model/state.h"
#include "sim/client.h"
#include "sim/host_world.h"

namespace gantry::sim {
namespace {

constexpr std::uint64_t kGib = 1U << 30U;
constexpr char kSharedPool[] = "shared";
constexpr char kOverlay[] = "wide";

template <class Message>
std::shared_ptr<Message> make() {
  return std::make_shared<Message>();
}

}  // namespace

std::string Client::pick(const char* kind, std::uint64_t count, const Place& place) {
  return kind + std::to_string(rng_.below(count)) + place.suffix;
}

Client::Place Client::pick_place() {
  std::vector<const v1::Host*> joined;
  for (const auto& [id, host] : records_.hosts) {
    const bool usable = id != own_host_id_ && !host.meta().name().starts_with(shunned_);
    if (usable) joined.push_back(&host);
  }
  const std::uint64_t one = rng_.below(joined.size() + 1);
  if (one == joined.size()) return {};
  const std::string& name = joined[one]->meta().name();
  return {.host = name, .suffix = "-" + name, .pool = (rng_.chance(1, 6) ? "more-" : "default-") + name};
}

std::string Client::pick_vm() {
  if (records_.vms.empty() || rng_.chance(1, 10)) return pick("web", 6);
  auto vm = records_.vms.begin();
  std::advance(vm, static_cast<std::ptrdiff_t>(rng_.below(records_.vms.size())));
  return vm->second.meta().name();
}

Client::Request Client::by_id(std::string id) {
  auto request = make<v1::ById>();
  request->set_id(std::move(id));
  return request;
}

Client::Request Client::leave(std::string id, bool machine_is_off) {
  auto request = make<v1::DeleteHostRequest>();
  request->set_id(std::move(id));
  request->set_machine_is_off(machine_is_off);
  return request;
}

Client::Request Client::stop_vm(std::string id) {
  auto request = make<v1::StopVmRequest>();
  request->set_id(std::move(id));
  request->set_force(rng_.chance(1, 4));
  if (rng_.chance(1, 2)) request->set_timeout_seconds(static_cast<std::uint32_t>(1 + rng_.below(20)));
  return request;
}

// Every host reaches everything of it, or all but its disk.
Client::Request Client::create_movable_vm() {
  const Place place = pick_place();
  auto request = make<v1::CreateVmRequest>();
  request->set_name(pick("web", 6));
  if (!records_.rules.empty() && rng_.chance(1, 4)) (*request->mutable_labels())["set"] = "apart";
  v1::VmSpec& spec = *request->mutable_spec();
  if (rng_.chance(1, 10)) spec.set_host(place.host);
  spec.set_cpus(static_cast<std::uint32_t>(1 + rng_.below(4)));
  spec.set_memory_mib(static_cast<std::uint32_t>(256 + 256 * rng_.below(4)));
  v1::NewVolume& disk = *spec.add_disks()->mutable_create();
  disk.set_capacity_bytes(kGib);
  if (rng_.chance(2, 3)) disk.set_pool(kSharedPool);
  v1::VmNic& nic = *spec.add_nics();
  nic.set_network(kOverlay);
  if (rng_.chance(1, 4)) nic.add_security_groups(pick("group", 2));
  if (rng_.chance(1, 3)) spec.mutable_cloud_init()->set_user("me");
  spec.set_tpm(rng_.chance(1, 3));
  return request;
}

bool Client::is_moving(const std::string& vm_name) const {
  return std::ranges::any_of(records_.vms, [&vm_name](const auto& entry) {
    return entry.second.meta().name() == vm_name && entry.second.placement().has_move();
  });
}

std::string Client::pick_movable() {
  std::vector<std::string> movable;
  for (const auto& [id, vm] : records_.vms) {
    if (vm.status().state() != v1::VmStatus::RUNNING || vm.spec().disks().empty()) continue;
    const bool wide = std::ranges::all_of(vm.spec().nics(), [this](const v1::VmNic& nic) {
      const auto network = records_.networks.find(nic.network());
      return network != records_.networks.end() && model::spans_hosts(network->second);
    });
    if (wide) movable.push_back(vm.meta().name());
  }
  return movable.empty() ? pick_vm() : movable[rng_.below(movable.size())];
}

Client::Request Client::move_vm(std::string id) {
  auto request = make<v1::MoveVmRequest>();
  request->set_id(std::move(id));
  const Place place = pick_place();
  if (rng_.chance(2, 3)) request->set_host(place.host.empty() ? own_host_id_ : place.host);
  if (rng_.chance(1, 6)) request->set_pool(kSharedPool);
  request->set_postcopy(rng_.chance(1, 3));
  if (rng_.chance(1, 6)) request->set_connections(static_cast<std::uint32_t>(1 + rng_.below(16)));
  return request;
}

// Mostly a disk of a guest that runs, and a pool that its host has.
Client::Request Client::move_volume() {
  std::vector<const v1::Vm*> running;
  for (const auto& [id, vm] : records_.vms) {
    const bool runs = vm.status().state() == v1::VmStatus::RUNNING && !vm.spec().disks().empty();
    if (runs && !vm.placement().has_disk_move()) running.push_back(&vm);
  }
  auto request = make<v1::MoveVolumeRequest>();
  if (running.empty() || rng_.chance(1, 10)) {
    const Place place = pick_place();
    request->set_id(pick("disk", 4, place));
    request->set_pool(place.pool.empty() ? "default" : place.pool);
    return request;
  }
  const v1::Vm& vm = *running[rng_.below(running.size())];
  std::vector<std::string> pools = {kSharedPool};
  for (const auto& [id, pool] : records_.pools) {
    if (pool.spec().host_id() == vm.placement().host_id()) pools.push_back(pool.meta().name());
  }
  request->set_id(
      vm.spec().disks(static_cast<int>(rng_.below(static_cast<std::uint64_t>(vm.spec().disks_size())))).volume());
  request->set_pool(pools[rng_.below(pools.size())]);
  return request;
}

std::string Client::pick_task() {
  std::vector<std::string> open;
  for (const auto& [id, task] : records_.tasks) {
    if (!model::is_ended(task.state())) open.push_back(id);
  }
  if (!open.empty() && rng_.chance(2, 3)) return open[rng_.below(open.size())];
  auto task = records_.tasks.begin();
  std::advance(task, static_cast<std::ptrdiff_t>(rng_.below(records_.tasks.size())));
  return task->first;
}

// On a joined host its image, its volume or its network may be all that says where.
Client::Request Client::create_vm() {
  const Place place = pick_place();
  auto request = make<v1::CreateVmRequest>();
  request->set_name(pick("web", 6, place));
  // Once it is on record: else the rule might come second.
  if (!records_.rules.empty() && rng_.chance(1, 2)) (*request->mutable_labels())["set"] = "apart";
  v1::VmSpec& spec = *request->mutable_spec();
  // The machine that lies would keep guests that are bound to nothing waiting.
  const bool binds = swarm_.hostile_seed != 0 || rng_.chance(2, 3);
  if (binds) spec.set_host(place.host.empty() && swarm_.hostile_seed != 0 ? own_host_id_ : place.host);
  spec.set_cpus(static_cast<std::uint32_t>(1 + rng_.below(4)));
  spec.set_memory_mib(static_cast<std::uint32_t>(256 + 256 * rng_.below(4)));
  if (rng_.chance(2, 3)) spec.set_image(pick("image", 2, near(place)));
  if (spec.image().empty() || rng_.chance(1, 3)) {
    spec.add_disks()->mutable_create()->set_capacity_bytes(kGib);
    if (rng_.chance(1, 3)) spec.mutable_disks(0)->mutable_create()->set_pool(near(place).pool);
  }
  if (rng_.chance(1, 3)) spec.add_disks()->set_volume(pick("disk", 4, near(place)));
  if (rng_.chance(2, 3)) {
    v1::VmNic& nic = *spec.add_nics();
    if (rng_.chance(1, 3)) nic.set_network(pick("net", 2, near(place)));
    if (rng_.chance(1, 4)) nic.add_port_forwards()->set_guest_port(22);
    if (rng_.chance(1, 4)) nic.add_security_groups(pick("group", 2));
  }
  if (rng_.chance(1, 3)) spec.mutable_cloud_init()->set_user("me");
  if (rng_.chance(1, 6)) spec.set_power(v1::VmSpec::STOPPED);
  spec.set_tpm(rng_.chance(1, 4));
  return request;
}

Client::Request Client::create_volume(const Place& place) {
  auto request = make<v1::CreateVolumeRequest>();
  request->set_name(pick("disk", 4, place));
  request->mutable_spec()->set_pool(pick_pool(place));
  request->mutable_spec()->set_capacity_bytes(kGib);
  if (rng_.chance(1, 4)) request->mutable_spec()->set_image(pick("image", 2, near(place)));
  return request;
}

Client::Request Client::create_image(const Place& place) {
  auto request = make<v1::CreateImageRequest>();
  request->set_name(pick("image", 2, place));
  request->mutable_spec()->set_pool(pick_pool(place));
  if (rng_.chance(1, 2)) {
    request->mutable_spec()->set_recipe("debian-12");
  } else {
    request->mutable_spec()->set_url("https://images.example/disk.qcow2");
    request->mutable_spec()->set_sha256(std::string(64, 'a'));
  }
  return request;
}

Client::Request Client::create_network(const Place& place) {
  auto request = make<v1::CreateNetworkRequest>();
  request->set_name(pick("net", 2, place));
  if (rng_.chance(1, 2)) {
    request->mutable_spec()->set_kind(v1::NetworkSpec::OVERLAY);
  } else {
    request->set_host(place.host);
  }
  return request;
}

Client::Request Client::create_pool(const Place& place) {
  auto request = make<v1::CreatePoolRequest>();
  request->set_name(place.host.empty() ? "more" : "more-" + place.host);
  request->mutable_spec()->set_host_id(place.host);
  request->mutable_spec()->set_path("/more");
  return request;
}

Client::Request Client::create_shared_pool() {
  auto request = make<v1::CreatePoolRequest>();
  request->set_name(kSharedPool);
  request->mutable_spec()->set_shared(true);
  request->mutable_spec()->set_path("/shared");
  // A machine that lies has no part in it.
  if (!swarm_.moves) request->mutable_spec()->add_hosts("alpha");
  return request;
}

std::string Client::pick_pool(const Place& place) {
  if (!place.pool.empty()) return place.pool;
  return swarm_.shared_pool && rng_.chance(1, 2) ? kSharedPool : "";
}

Client::Request Client::create_rule() {
  auto request = make<v1::CreateRuleRequest>();
  request->set_name("apart");
  request->mutable_spec()->set_kind(v1::RuleSpec::APART);
  (*request->mutable_spec()->mutable_vm_labels())["set"] = "apart";
  return request;
}

HostWorld* Client::machine_of(const std::string& host_name) const {
  const auto found = std::ranges::find_if(worlds_, [&](const HostWorld* world) {
    const auto host = records_.hosts.find(world->host_id);
    return host != records_.hosts.end() && host->second.meta().name() == host_name;
  });
  return found == worlds_.end() ? nullptr : *found;
}

void Client::take_leave(const std::string& host_name) {
  HostWorld* machine = machine_of(host_name);
  const bool is_off = machine == nullptr || !machine->uses_shared_disks();
  if (machine != nullptr && is_off) machine->shut_out_as = machine->host_id;
  ask("DeleteHost", leave(host_name, is_off));
}

void Client::clear_out(const std::string& host_id, Milliseconds leave_after_ms) {
  const auto is_there = [this, &host_id](const auto& entry) { return records_.home_of(entry.first) == host_id; };
  for (const auto& vm : records_.vms) {
    if (!is_there(vm)) continue;
    auto request = make<v1::DeleteVmRequest>();
    request->set_id(vm.second.meta().name());
    ask("DeleteVm", request);
  }
  for (const auto& volume : records_.volumes) {
    if (is_there(volume)) ask("DeleteVolume", by_id(volume.second.meta().name()));
  }
  scheduler_.at(leave_after_ms, [this, host_id] {
    const auto host = records_.hosts.find(host_id);
    if (host == records_.hosts.end()) return;
    for (const auto& [id, image] : records_.images) {
      if (records_.home_of(id) == host_id) ask("DeleteImage", by_id(image.meta().name()));
    }
    take_leave(host->second.meta().name());
  });
}

void Client::ask_for_maintenance(const Place& place) {
  auto request = make<v1::UpdateHostRequest>();
  request->set_id(place.host.empty() ? own_host_id_ : place.host);
  request->set_maintenance(rng_.chance(1, 2));
  request->mutable_update_mask()->add_paths("maintenance");
  begin("UpdateHost", request);
}

void Client::ask_of_hosts(const Place& place) {
  switch (rng_.below(6)) {
    case 0: return begin("CreatePool", create_pool(place));
    case 1: return begin("DeletePool", by_id(place.host.empty() ? "more" : "more-" + place.host));
    case 2: {
      auto request = make<v1::UpdateHostRequest>();
      request->set_id(place.host.empty() ? own_host_id_ : place.host);
      request->set_cordoned(rng_.chance(1, 4));
      request->mutable_update_mask()->add_paths("cordoned");
      return begin("UpdateHost", request);
    }
    case 3:
    case 4: return ask_for_maintenance(place);
    // Mostly refused: there is something on it.
    default: return begin("DeleteHost", leave(place.host.empty() ? own_host_id_ : place.host, false));
  }
}

void Client::ask_of_moves(const std::string& vm) {
  if (numbers_ < 3 || rng_.chance(1, 30)) {
    auto request = make<v1::CreateNetworkRequest>();
    request->set_name(kOverlay);
    request->mutable_spec()->set_kind(v1::NetworkSpec::OVERLAY);
    return begin("CreateNetwork", request);
  }
  if (rng_.chance(1, 4)) return begin("CreateVm", create_movable_vm());
  if (rng_.chance(1, 8)) return ask_for_maintenance(pick_place());
  begin("MoveVm", move_vm(rng_.chance(1, 6) ? vm : pick_movable()));
}

void Client::ask_something() {
  const std::string vm = pick_vm();
  const Place place = pick_place();
  if (numbers_ == 0 && swarm_.has_rule) return begin("CreateRule", create_rule());
  if (swarm_.shared_pool && rng_.chance(1, 40)) return begin("DeletePool", by_id(kSharedPool));
  if (swarm_.shared_pool && (numbers_ < 2 || rng_.chance(1, 20))) return begin("CreatePool", create_shared_pool());
  if (swarm_.moves && (numbers_ < 3 || rng_.chance(1, 3))) return ask_of_moves(vm);
  // Most moves are let come to their end.
  if (is_moving(vm) && rng_.chance(4, 5)) return;
  if (numbers_ < 3) return begin("CreateImage", create_image({}));
  switch (rng_.below(45)) {
    case 0:
    case 1: return begin("CreateImage", create_image(place));
    case 2: return begin("DeleteImage", by_id(pick("image", 2, place)));
    case 3:
    case 4: return begin("CreateVolume", create_volume(place));
    case 5: {
      auto request = make<v1::ResizeVolumeRequest>();
      request->set_id(pick("disk", 4, place));
      request->set_capacity_bytes((2 + rng_.below(4)) * kGib);
      return begin("ResizeVolume", request);
    }
    case 6: return begin("DeleteVolume", by_id(pick("disk", 4, place)));
    case 7: return begin("CreateNetwork", create_network(place));
    case 8: return begin("DeleteNetwork", by_id(pick("net", 2, place)));
    case 9:
    case 10: {
      auto request = make<v1::DeleteVmRequest>();
      request->set_id(vm);
      request->set_keep_volumes(rng_.chance(1, 5));
      return begin("DeleteVm", request);
    }
    case 11:
    case 12: {
      if (records_.tasks.empty()) return;
      return begin("CancelTask", by_id(pick_task()));
    }
    case 13: {
      auto request = make<v1::UpdateVmRequest>();
      request->set_id(vm);
      request->set_memory_mib(static_cast<std::uint32_t>(256 + 256 * rng_.below(4)));
      return begin("UpdateVm", request);
    }
    case 14:
    case 15:
    case 16: return begin("RestartVm", stop_vm(vm));
    case 17:
    case 18:
    case 19:
    case 20: return begin("StopVm", stop_vm(vm));
    case 21:
    case 22:
    case 23: return begin("ResetVm", by_id(vm));
    case 24:
    case 25: return begin("PauseVm", by_id(vm));
    case 26:
    case 27: return begin("ResumeVm", by_id(vm));
    case 28:
    case 29:
    case 30:
    case 31: return begin("StartVm", by_id(vm));
    case 32: return ask_of_hosts(place);
    case 33: {
      auto request = make<v1::CreateSecurityGroupRequest>();
      request->set_name(pick("group", 2));
      request->mutable_spec()->add_rules()->set_protocol(v1::SecurityRule::ICMP);
      return begin("CreateSecurityGroup", request);
    }
    case 34: {
      auto request = make<v1::UpdateSecurityGroupRequest>();
      request->set_id(pick("group", 2));
      v1::SecurityRule& rule = *request->add_rules();
      rule.set_protocol(v1::SecurityRule::TCP);
      rule.set_port(static_cast<std::uint32_t>(1 + rng_.below(65'535)));
      return begin("UpdateSecurityGroup", request);
    }
    case 35: {
      auto request = make<v1::UpdateVmRequest>();
      request->set_id(vm);
      v1::NicGroups& groups = *request->add_nic_security_groups();
      if (rng_.chance(2, 3)) groups.add_security_groups(pick("group", 2));
      return begin("UpdateVm", request);
    }
    case 36: return begin("DeleteSecurityGroup", by_id(pick("group", 2)));
    case 37:
    case 38: return begin("MoveVolume", move_volume());
    default: return begin("CreateVm", create_vm());
  }
}

}  // namespace gantry::sim
