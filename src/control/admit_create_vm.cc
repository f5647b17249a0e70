#include <algorithm>

#include "control/admission.h"
#include "control/admit_nics.h"
#include "control/admit_volume.h"
#include "control/copied_disks.h"
#include "control/placement.h"
#include "control/pool_hosts.h"
#include "control/vm_hosts.h"
#include "model/names.h"
#include "model/pool_drivers.h"
#include "model/state.h"
#include "model/validate.h"

namespace gantry::control {
namespace {

// What becomes of each disk of the request: an existing volume, or one to make.
struct DiskPlan {
  const v1::Image* image = nullptr;
  v1::NewVolume create;
  bool makes = false;
};

// A disk for which no pool was named goes to one of the host's own.
void add_any_pool(const View& view, policy::PlaceDemand& demand) {
  policy::PlaceReach reach{.reason = "it has no storage pool", .host_ids = {}};
  for (const auto& [id, pool] : view.all<v1::Pool>().by_id) {
    if (pool.meta().has_deletion()) continue;
    const auto hosts = hosts_of_pool(view, pool);
    reach.host_ids.insert(hosts.begin(), hosts.end());
  }
  demand.reach.push_back(std::move(reach));
}

// An image is used on a host that reaches the pool it is in: the VM's own host, when it has one.
Result<void> add_image_reach(const Change& change, const v1::Image& image, policy::PlaceDemand& demand) {
  const View& view = change.view();
  const auto* pool = view.find<v1::Pool>(image.spec().pool());
  if (pool == nullptr || demand.host_id.empty() || has_pool(view, demand.host_id, *pool)) {
    if (pool != nullptr) add_reach(view, "image " + image.meta().name() + " in ", *pool, demand);
    return {};
  }
  const auto there = pools_of_host(view, demand.host_id);
  const auto* other = there.empty() ? nullptr : view.find<v1::Pool>(there.front());
  return fail(
      ErrorCode::conflict,
      "image \"" + image.meta().name() + "\" cannot be used on host \"" + host_name(view, demand.host_id) + "\"",
      pool->spec().shared()
          ? "it is in shared pool \"" + pool->meta().name() + "\", which that host does not have"
          : "it is in pool \"" + pool->meta().name() + "\" on host \"" + host_name(view, pool->spec().host_id()) + "\"",
      other == nullptr
          ? "make a pool on that host, and the image in it"
          : "make the image in a pool of that host too: gantry image import ... --pool " + other->meta().name(),
      "image_out_of_reach");
}

Result<void> use_volume(Change& change, v1::VmDisk& disk, policy::PlaceDemand& demand) {
  auto volume = change.find<v1::Volume>(disk.volume());
  if (!volume) return fail(std::move(volume.error()));
  const v1::Meta& meta = (*volume)->meta();
  for (const std::string& vm_id : change.view().users_of_kind<v1::Vm>(meta.id())) {
    const auto* vm = change.view().find<v1::Vm>(vm_id);
    return fail(ErrorCode::conflict, "volume \"" + meta.name() + "\" is in use",
                "VM \"" + (vm != nullptr ? vm->meta().name() : vm_id) + "\" has it as a disk",
                "use another volume, or delete that VM", "volume_in_use");
  }
  GANTRY_CHECK(refuse_copied(change.view(), **volume));
  if ((*volume)->status().state() == v1::VolumeStatus::FAILED) {
    change.warn("volume \"" + meta.name() + "\" has a problem: " + (*volume)->status().problem().summary());
  }
  disk.set_volume(meta.id());
  if (const auto* pool = change.view().find<v1::Pool>((*volume)->spec().pool())) {
    add_reach(change.view(), "volume " + meta.name() + " in ", *pool, demand);
  }
  return {};
}

// An image of kind DISK becomes the first disk, unless that is asked for in full.
Result<void> use_image(Change& change, v1::VmSpec& spec, policy::PlaceDemand& demand) {
  if (spec.image().empty()) return {};
  auto image = change.find<v1::Image>(spec.image());
  if (!image) return fail(std::move(image.error()));
  const v1::Image& found = **image;
  const bool asked_in_full = spec.disks_size() > 0 && spec.disks(0).has_create() &&
                             change.view().resolve<v1::Image>(spec.disks(0).create().image()) == *image;
  spec.set_image(found.meta().id());
  GANTRY_CHECK(add_image_reach(change, found, demand));
  if (found.spec().kind() == v1::ImageSpec::KERNEL) return check_image_usable(change, found);
  if (asked_in_full) return {};
  v1::VmDisk root;
  root.mutable_create()->set_image(found.meta().id());
  auto& disks = *spec.mutable_disks();
  disks.Add(std::move(root));
  std::rotate(disks.pointer_begin(), disks.pointer_end() - 1, disks.pointer_end());
  return {};
}

Result<std::vector<DiskPlan>> plan_disks(Change& change, v1::VmSpec& spec, policy::PlaceDemand& demand) {
  std::vector<DiskPlan> plans;
  std::set<std::string> used;
  for (v1::VmDisk& disk : *spec.mutable_disks()) {
    DiskPlan& plan = plans.emplace_back();
    if (!disk.has_create()) {
      if (auto volume = use_volume(change, disk, demand); !volume) return fail(std::move(volume.error()));
      if (!used.insert(disk.volume()).second) {
        return model::bad_field("spec.disks", "a volume is in it twice", "leave one out");
      }
      continue;
    }
    plan.makes = true;
    plan.create = disk.create();
    disk.clear_create();
    if (!plan.create.image().empty()) {
      auto image = find_disk_image(change, plan.create.image());
      if (!image) return fail(std::move(image.error()));
      plan.image = *image;
      if (auto reach = add_image_reach(change, *plan.image, demand); !reach) return fail(std::move(reach.error()));
    }
    if (plan.create.pool().empty() && plan.image != nullptr) plan.create.set_pool(shared_pool_of(change, *plan.image));
    if (plan.create.pool().empty()) {
      add_any_pool(change.view(), demand);
      continue;
    }
    auto pool = change.find<v1::Pool>(plan.create.pool());
    if (!pool) return fail(std::move(pool.error()));
    plan.create.set_pool((*pool)->meta().id());
    add_reach(change.view(), "", **pool, demand);
  }
  return plans;
}

// What it keeps are files beside the lease.
Result<void> check_tpm(const Change& change, const std::string& vm_name, const v1::VmSpec& spec) {
  const auto* pool = change.draft.find<v1::Pool>(spec.lease_pool());
  if (!spec.tpm() || pool == nullptr || !model::is_in_ceph(pool->spec())) return {};
  return fail(ErrorCode::unsupported, "VM \"" + vm_name + "\" cannot have a TPM",
              "its lease is in pool \"" + pool->meta().name() + "\" in Ceph, which cannot hold the files of a TPM",
              "give it a first disk in a pool that is a directory", "tpm_in_ceph");
}

// A free name for the VM's own volume: "web-disk0", or "web-disk0-2"... when an earlier VM's was kept.
std::string volume_name(const Change& change, const std::string& vm_name, std::size_t index) {
  const std::string suffix = "-disk" + std::to_string(index);
  std::string name = model::name_with_suffix(vm_name, suffix);
  for (int n = 2; change.draft.has_name<v1::Volume>(name); ++n) {
    name = model::name_with_suffix(vm_name, suffix + "-" + std::to_string(n));
  }
  return name;
}

// On the host that was chosen. From now on the VM is bound to the pools its disks are in.
Result<void> make_disks(Change& change, const std::vector<DiskPlan>& plans, policy::PlaceDemand& demand, v1::Vm& vm) {
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const DiskPlan& plan = plans[i];
    if (!plan.makes) continue;
    auto pool = choose_pool(change, plan.create.pool(), vm.placement().host_id());
    if (!pool) return fail(std::move(pool.error()));
    if (plan.create.pool().empty()) add_reach(change.view(), "", **pool, demand);
    auto volume =
        make_volume(change, {.name = volume_name(change, vm.meta().name(), i),
                             .pool = *pool,
                             .capacity_bytes = plan.create.capacity_bytes(),
                             .format = plan.create.format() == "raw" ? v1::VolumeSpec::RAW : v1::VolumeSpec::QCOW2,
                             .image = plan.image,
                             .owner_vm_id = vm.meta().id(),
                             .host_id = vm.placement().host_id()});
    if (!volume) return fail(std::move(volume.error()));
    vm.mutable_spec()->mutable_disks(static_cast<int>(i))->set_volume((*volume)->meta().id());
  }
  return {};
}

void set_defaults(v1::VmSpec& spec) {
  if (spec.cpus() == 0) spec.set_cpus(model::kDefaultCpus);
  if (spec.memory_mib() == 0) spec.set_memory_mib(model::kDefaultMemoryMib);
}

Result<void> place_vm(Change& change, policy::PlaceDemand& demand, v1::Vm& vm) {
  demand.rules = place_rules(change.view(), vm, false);
  v1::PlacementDecision decision = policy::place(place_hosts(change.view(), vm), demand);
  if (decision.host_id().empty()) {
    return fail(ErrorCode::conflict, "no host can take VM \"" + vm.meta().name() + "\"", policy::why_nowhere(decision),
                "see \"gantry host list\"", "no_host_fits");
  }
  vm.mutable_placement()->set_host_id(decision.host_id());
  vm.mutable_placement()->set_epoch(next_epoch(*vm.mutable_placement()));
  vm.mutable_placement()->set_reason(decision.reason());
  *change.task.mutable_plan()->mutable_placement() = policy::in_short(std::move(decision));
  return {};
}

}  // namespace

Result<void> create_vm(Change& change, const v1::CreateVmRequest& request) {
  v1::Vm vm;
  auto meta = change.new_meta<v1::Vm>(request.name(), request.labels());
  if (!meta) return fail(std::move(meta.error()));
  *vm.mutable_meta() = std::move(*meta);
  v1::VmSpec& spec = *vm.mutable_spec();
  spec = request.spec();
  set_defaults(spec);
  change.name_target("vm.create", vm.meta());

  policy::PlaceDemand demand = make_demand(spec);
  if (!spec.host().empty()) {
    auto host = change.find<v1::Host>(spec.host());
    if (!host) return fail(std::move(host.error()));
    spec.set_host((*host)->meta().id());
    demand.host_id = spec.host();
  }
  GANTRY_CHECK(use_image(change, spec, demand));
  auto disks = plan_disks(change, spec, demand);
  if (!disks) return fail(std::move(disks.error()));
  GANTRY_CHECK(resolve_networks(change, spec, demand));
  GANTRY_CHECK(place_vm(change, demand, vm));
  GANTRY_CHECK(use_default_network(change, spec, vm.placement().host_id(), demand));
  GANTRY_CHECK(model::check_devices(spec));
  GANTRY_CHECK(make_disks(change, *disks, demand, vm));
  vm.mutable_placement()->set_cpu_model(choose_cpu_model(change.view(), demand, vm.placement().host_id()));
  spec.set_lease_pool(lease_pool(change.draft, spec));
  spec.set_balloon(true);
  GANTRY_CHECK(check_tpm(change, request.name(), spec));
  GANTRY_CHECK(give_addresses(change, spec, vm.placement().host_id()));

  const std::string host = host_name(change.view(), vm.placement().host_id());
  const std::string size = std::to_string(spec.cpus()) + " CPU, " + std::to_string(spec.memory_mib()) + " MiB";
  change.step("make VM " + request.name() + " (" + size + ") on host " + host);
  if (spec.power() != v1::VmSpec::STOPPED) {
    spec.set_boot_id(change.task_id());
    change.step(spec.power() == v1::VmSpec::PAUSED ? "start it, and pause it at once" : "start it");
  }
  vm.mutable_status()->set_state(v1::VmStatus::PENDING);
  change.draft.create(std::move(vm));
  return {};
}

}  // namespace gantry::control
