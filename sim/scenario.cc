#include "sim/scenario.h"

#include <algorithm>
#include <stdexcept>

#include "gantry/v1/routes.pb.h"

namespace gantry::sim {
namespace {

constexpr std::uint64_t kSeed = 1;
constexpr char kSharedNetwork[] = "wide";
constexpr std::uint64_t kGib = 1U << 30U;

template <class Record>
const Record* named(const std::map<std::string, Record>& records, const std::string& name) {
  for (const auto& [id, record] : records) {
    if (record.meta().name() == name) return &record;
  }
  return nullptr;
}

}  // namespace

void User::Launch::ask(const std::string& host, const std::string& pool, bool on_shared_network) {
  auto request = std::make_shared<v1::CreateVmRequest>();
  request->set_name(vm_);
  request->mutable_spec()->set_host(host);
  request->mutable_spec()->set_memory_mib(512);
  v1::NewVolume& disk = *request->mutable_spec()->add_disks()->mutable_create();
  disk.set_capacity_bytes(kGib);
  disk.set_pool(pool);
  if (on_shared_network) request->mutable_spec()->add_nics()->set_network(kSharedNetwork);
  client_.ask("CreateVm", std::move(request));
}

void User::start(const std::string& vm) {
  auto request = std::make_shared<v1::ById>();
  request->set_id(vm);
  client_.ask("StartVm", std::move(request));
}

void User::stop(const std::string& vm) {
  auto request = std::make_shared<v1::StopVmRequest>();
  request->set_id(vm);
  client_.ask("StopVm", std::move(request));
}

void User::remove(const std::string& vm) {
  auto request = std::make_shared<v1::DeleteVmRequest>();
  request->set_id(vm);
  client_.ask("DeleteVm", std::move(request));
}

void User::move(const std::string& vm, const std::string& host, bool postcopy) {
  auto request = std::make_shared<v1::MoveVmRequest>();
  request->set_id(vm);
  request->set_host(host);
  request->set_postcopy(postcopy);
  client_.ask("MoveVm", std::move(request));
}

void User::move_disk(const std::string& volume, const std::string& pool) {
  auto request = std::make_shared<v1::MoveVolumeRequest>();
  request->set_id(volume);
  request->set_pool(pool);
  client_.ask("MoveVolume", std::move(request));
}

void User::maintain(const std::string& host, bool on) {
  auto request = std::make_shared<v1::UpdateHostRequest>();
  request->set_id(host);
  request->set_maintenance(on);
  request->mutable_update_mask()->add_paths("maintenance");
  client_.ask("UpdateHost", std::move(request));
}

void User::cancel(const std::string& task_id) {
  auto request = std::make_shared<v1::ById>();
  request->set_id(task_id);
  client_.ask("CancelTask", std::move(request));
}

void User::share() {
  auto pool = std::make_shared<v1::CreatePoolRequest>();
  pool->set_name(kSharedPool);
  pool->mutable_spec()->set_shared(true);
  pool->mutable_spec()->set_path("/shared");
  client_.ask("CreatePool", std::move(pool));
  auto network = std::make_shared<v1::CreateNetworkRequest>();
  network->set_name(kSharedNetwork);
  network->mutable_spec()->set_kind(v1::NetworkSpec::OVERLAY);
  client_.ask("CreateNetwork", std::move(network));
}

Scenario::Scenario(const std::vector<std::string>& machines) : cluster(kSeed, Swarm{}, true) {
  for (const std::string& name : machines) add_machine(name);
  cluster.start();
  cluster.run_until_settled();
  for (const auto& machine : cluster.machines()) machine->join();
  settle();
}

Machine& Scenario::add_machine(const std::string& name) {
  return cluster.add_machine({.name = name, .pool_path = "/pool", .clock = {}});
}

Machine& Scenario::host(const std::string& name) {
  for (const auto& machine : cluster.machines()) {
    if (machine->name() == name) return *machine;
  }
  throw std::invalid_argument("the scenario has no machine " + name);
}

void Scenario::settle() {
  for (const auto& machine : cluster.machines()) machine->heal();
  cluster.run_until_settled();
}

Scenario::Found Scenario::find_guest(const std::string& vm) const {
  for (HostWorld* world : cluster.stage.worlds) {
    for (const auto& [vm_id, guest] : world->guests) {
      if (guest.definition.name == vm && HostWorld::lives(guest)) return {world, vm_id};
    }
  }
  return {};
}

std::string Scenario::where(const std::string& vm) const {
  const Found found = find_guest(vm);
  return found.world == nullptr ? "" : found.world->setup.name;
}

std::uint64_t Scenario::process_of(const std::string& vm) const {
  const Found found = find_guest(vm);
  return found.world == nullptr ? 0 : found.world->guests.at(found.vm_id).process;
}

void Scenario::shut_down_within(const std::string& vm) {
  const Found found = find_guest(vm);
  if (found.world != nullptr) (void)found.world->press_power_button(found.vm_id);
}

const v1::Host* Scenario::host_record(const std::string& name) const { return named(cluster.records.hosts, name); }
const v1::Vm* Scenario::vm_record(const std::string& name) const { return named(cluster.records.vms, name); }
const v1::Task* Scenario::task_record(const std::string& action) const {
  const auto& tasks = cluster.records.tasks;
  const auto found = std::ranges::find_if(tasks, [&](const auto& task) { return task.second.action() == action; });
  return found == tasks.end() ? nullptr : &found->second;
}

std::string Scenario::violations() const {
  std::string all;
  for (const std::string& violation : cluster.trace.violations()) all += violation + "\n";
  return all;
}

}  // namespace gantry::sim
