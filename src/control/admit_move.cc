// Admission of moves of running guests to other hosts.
#include "control/admit_move.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "control/admission.h"
#include "control/admit_volume.h"
#include "control/copied_disks.h"
#include "control/move_storage.h"
#include "control/placement.h"
#include "control/pool_hosts.h"
#include "control/vm_hosts.h"
#include "model/limits.h"
#include "model/state.h"

namespace gantry::control {
namespace {

using Trouble = std::map<std::string, std::string>;

tl::unexpected<Error> refuse(const v1::Vm& vm, std::string cause, std::string next_step, const char* reason) {
  return fail(ErrorCode::conflict, "VM \"" + vm.meta().name() + "\" cannot be moved", std::move(cause),
              std::move(next_step), reason);
}

}  // namespace

Result<void> check_runs(const View& view, const v1::Vm& vm) {
  const v1::VmPlacement& placement = vm.placement();
  const v1::VmStatus& status = vm.status();
  if (placement.has_move()) {
    return refuse(vm, "task " + placement.move().task_id() + " moves it already", "wait for that task, or cancel it",
                  "vm_moving");
  }
  if (vm.spec().power() == v1::VmSpec::STOPPED || model::boot_ended(vm)) {
    return refuse(vm, "it does not run", "start it first", "vm_not_running");
  }
  if (vm.spec().power() == v1::VmSpec::PAUSED || status.state() == v1::VmStatus::PAUSED) {
    return refuse(vm, status.has_problem() ? "its guest stands still: " + status.problem().summary() : "it is paused",
                  "resume it first", "vm_paused");
  }
  if (placement.has_disk_move()) {
    return refuse(vm, "task " + placement.disk_move().task_id() + " moves a disk of it",
                  "wait for that task, or cancel it", "vm_moving");
  }
  if (status.move().fetching()) {
    return refuse(vm, "the rest of its memory is still fetched from the host that it came from",
                  "wait until all of it is there: see \"gantry show\"", "vm_moving");
  }
  const auto* host = view.find<v1::Host>(placement.host_id());
  if (host == nullptr || host->status().state() != v1::HostStatus::CONNECTED) {
    return refuse(vm, "host \"" + host_name(view, placement.host_id()) + "\", where it runs, is not connected",
                  "see \"gantry host list\"", "host_lost");
  }
  const bool runs = status.host_id() == placement.host_id() && status.state() == v1::VmStatus::RUNNING &&
                    status.boot_id() == vm.spec().boot_id();
  if (!runs) return refuse(vm, "it is being started", "wait until it runs", "vm_not_running");
  return {};
}

namespace {

// "7.2.22" and what follows: what a guest was started with there is known to the same and to later ones.
std::array<unsigned, 2> qemu_version(const v1::Host& host) {
  std::array<unsigned, 2> version{};
  const std::string& text = host.status().qemu_version();
  const char* at = text.data();
  const char* end = at + text.size();
  for (unsigned& part : version) {
    const auto [next, error] = std::from_chars(at, end, part);
    if (error != std::errc() || next == end) break;
    at = next + 1;
  }
  return version;
}

std::string shown(const std::string& text) { return text.empty() ? "unknown" : text; }

// Why a guest that runs on `source` would not run on as it is.
std::string machine_obstacle(const v1::Vm& vm, const v1::Host& source, const v1::Host& target) {
  const v1::HostStatus& from = source.status();
  const v1::HostStatus& to = target.status();
  const std::string& accelerator = vm.status().accelerator().empty() ? from.accelerator() : vm.status().accelerator();
  if (to.accelerator() != accelerator) return "its guests run by " + shown(to.accelerator()) + ", not " + accelerator;
  const std::string& model = vm.placement().cpu_model();
  if (!model.empty()) {
    const auto& models = to.cpu_models();
    const bool known = std::find(models.begin(), models.end(), model) != models.end();
    if (!known) return "its processors cannot be " + model + ", as the guest's are";
  } else if (to.cpu_model() != from.cpu_model()) {
    return "its processors are others (" + shown(to.cpu_model()) + ") than the guest has (" + shown(from.cpu_model()) +
           ")";
  }
  if (qemu_version(target) >= qemu_version(source)) return {};
  return "its QEMU (" + shown(to.qemu_version()) + ") is older than that which runs the guest (" +
         shown(from.qemu_version()) + ")";
}

// A port that another guest's is forwarded from.
std::string port_obstacle(const View& view, const v1::Vm& vm, const std::string& host_id) {
  for (const v1::VmNic& nic : vm.spec().nics()) {
    for (const v1::PortForward& forward : nic.port_forwards()) {
      if (find_left(vm, host_id) == nullptr && view.has_port(host_id, forward.protocol(), forward.host_port())) {
        return "its port " + std::to_string(forward.host_port()) + " is forwarded to another guest";
      }
    }
  }
  return {};
}

void add_trouble(Trouble& trouble, const std::string& host_id, const std::string& reason) {
  if (reason.empty()) return;
  std::string& all = trouble[host_id];
  all += (all.empty() ? "" : "; ") + reason;
}

std::string postcopy_obstacle(const v1::Host& host) {
  const std::string& problem = host.status().postcopy_problem();
  return problem.empty() ? "" : "it cannot take a guest by postcopy: " + problem;
}

// What a guest that runs asks of a host beside what it asks to be started there.
void add_move_trouble(const View& view, const v1::Vm& vm, bool postcopy, Trouble& trouble) {
  const auto* source = view.find<v1::Host>(vm.placement().host_id());
  for (const auto& [id, host] : view.all<v1::Host>().by_id) {
    if (source == nullptr || id == source->meta().id()) continue;
    add_trouble(trouble, id, machine_obstacle(vm, *source, host));
    add_trouble(trouble, id, port_obstacle(view, vm, id));
    if (postcopy) add_trouble(trouble, id, postcopy_obstacle(host));
    if (find_left(vm, id) != nullptr) add_trouble(trouble, id, "it has yet to take away what it had of the VM before");
  }
}

// Of all hosts but its own, or of that one.
std::vector<policy::PlaceHost> candidates(const View& view, const v1::Vm& vm, const v1::Host* wanted,
                                          const MovesTogether& others) {
  if (wanted != nullptr) return {place_host(view, *wanted, vm)};
  auto hosts = place_hosts(view, vm);
  std::erase_if(hosts, [&](const auto& host) { return host.record->meta().id() == vm.placement().host_id(); });
  for (policy::PlaceHost& host : hosts) {
    const auto taken = others.taken.find(host.record->meta().id());
    if (taken == others.taken.end()) continue;
    host.reserved_mib += taken->second.memory_mib;
    host.promised_cpus += taken->second.cpus;
    host.guests += taken->second.guests;
  }
  return hosts;
}

struct Target {
  v1::PlacementDecision decision;
  MoveStorage storage;
};

// What of it would go to which host; hosts that it cannot go to are in trouble.
std::map<std::string, MoveStorage> plan_storages(const Change& change, const v1::Vm& vm, const v1::Pool* pool,
                                                 const std::vector<policy::PlaceHost>& hosts, Trouble& trouble) {
  std::map<std::string, MoveStorage> storages;
  for (const policy::PlaceHost& host : hosts) {
    const std::string& id = host.record->meta().id();
    auto storage = plan_storage(change, vm, id, pool);
    if (storage) {
      storages.emplace(id, std::move(*storage));
    } else {
      add_trouble(trouble, id, storage.error().cause);
    }
  }
  return storages;
}

Result<Target> choose_target(const Change& change, const v1::MoveVmRequest& request, const v1::Pool* pool,
                             const v1::Vm& vm, const MovesTogether& others) {
  const View& view = change.view();
  const std::string& wanted = request.host();
  const v1::Host* host = nullptr;
  if (!wanted.empty()) {
    auto found = change.find<v1::Host>(wanted);
    if (!found) return fail(std::move(found.error()));
    host = *found;
    if (host->meta().id() == vm.placement().host_id()) {
      return refuse(vm, "it runs on host \"" + host->meta().name() + "\" already", "name another host, or none",
                    "already_there");
    }
  }
  if (!vm.spec().host().empty()) {
    return refuse(vm, "it is bound to host \"" + host_name(view, vm.spec().host()) + "\"",
                  "make it without naming a host for it", "no_host_fits");
  }
  policy::PlaceDemand demand = move_demand(view, vm);
  add_move_trouble(view, vm, request.postcopy(), demand.trouble);
  for (const auto& [id, reason] : others.trouble) add_trouble(demand.trouble, id, reason);
  const auto hosts = candidates(view, vm, host, others);
  auto storages = plan_storages(change, vm, pool, hosts, demand.trouble);
  v1::PlacementDecision decision = policy::place(hosts, demand);
  if (!decision.host_id().empty()) {
    MoveStorage& storage = storages[decision.host_id()];
    return Target{.decision = std::move(decision), .storage = std::move(storage)};
  }
  return refuse(vm, hosts.empty() ? "there is no other host" : policy::why_nowhere(decision),
                "see \"gantry host list\"", "no_host_fits");
}

Result<void> copy_disks(Change& change, const MoveStorage& storage, v1::VmMove& move) {
  for (const v1::Volume* volume : storage.copied) {
    auto copied = make_copy(change, *volume, *storage.pool, move.host_id());
    if (!copied) {
      // The draft of a round is committed all the same.
      for (const v1::CopiedDisk& disk : move.disks()) change.draft.erase<v1::Volume>(disk.copy());
      return fail(std::move(copied.error()));
    }
    *move.add_disks() = std::move(*copied);
  }
  move.set_lease_pool(storage.lease_pool);
  move.set_firmware(storage.firmware);
  return {};
}

void describe_copies(Change& change, const v1::Vm& vm, const MoveStorage& storage) {
  for (const v1::Volume* volume : storage.copied) {
    change.step("copy volume " + volume->meta().name() + " (" + model::bytes_text(volume->status().capacity_bytes()) +
                ") to " + pool_text(change.view(), *storage.pool) +
                " while the guest writes to it; the copy takes its place");
  }
  if (storage.firmware != v1::VmSpec::FROM_IMAGE) {
    change.warn("VM " + vm.meta().name() +
                " will not name its image any more, which that host does not reach: no disk "
                "of it needs it there");
  }
}

void describe(Change& change, const v1::Vm& vm, const v1::VmMove& move, const MoveStorage& storage) {
  const std::string name = "VM " + vm.meta().name();
  const std::string target = "host " + host_name(change.view(), move.host_id());
  change.step("make " + target + " ready for " + name + ", which runs on");
  describe_copies(change, vm, storage);
  change.step("copy its memory (" + model::bytes_text(std::uint64_t{vm.spec().memory_mib()} << 20U) + ") from host " +
              host_name(change.view(), vm.placement().host_id()) + " while it runs" +
              (move.bytes_per_second_max() == 0
                   ? ""
                   : ", " + model::bytes_text(move.bytes_per_second_max()) + " each second at most") +
              (move.connections() > 1 ? ", over " + std::to_string(move.connections()) + " connections" : ""));
  const std::uint32_t downtime_ms =
      move.downtime_ms_max() == 0 ? model::kMoveDowntimeMsDefault : move.downtime_ms_max();
  change.step("hold it for the last of its memory, for about " + std::to_string(downtime_ms) +
              " ms, and let it go on on " + target);
  if (!move.postcopy()) return;
  change.step("if it changes its memory too fast for that: let it go on on " + target +
              " before all of it is there, and fetch the rest while it runs");
  change.warn("by postcopy " + name +
              " is lost as by a loss of power if either host or the network between them ends while the rest of its "
              "memory is fetched");
}

}  // namespace

Result<void> move_vm(Change& change, const v1::MoveVmRequest& request) {
  MovesTogether alone;
  return move_with_others(change, request, alone);
}

Result<void> move_with_others(Change& change, const v1::MoveVmRequest& request, MovesTogether& others) {
  auto target = change.target<v1::Vm>("vm.move", request.id());
  if (!target) return fail(std::move(target.error()));
  v1::Vm& vm = **target;
  GANTRY_CHECK(check_runs(change.view(), vm));
  if (request.postcopy() && request.connections() > 1) {
    return refuse(vm, "memory that is fetched by postcopy comes over one connection", "leave out one of the two",
                  "postcopy_one_connection");
  }
  // Old records may not say it, and it must be known where it was when it has gone to another pool.
  vm.mutable_spec()->set_lease_pool(lease_pool(change.draft, vm.spec()));
  const v1::Pool* pool = nullptr;
  if (!request.pool().empty()) {
    auto found = change.find<v1::Pool>(request.pool());
    if (!found) return fail(std::move(found.error()));
    pool = *found;
  }
  auto chosen = choose_target(change, request, pool, vm, others);
  if (!chosen) return fail(std::move(chosen.error()));
  const MoveStorage& storage = chosen->storage;
  if (pool != nullptr && storage.pool == nullptr) {
    change.warn("nothing goes to pool " + pool->meta().name() + ": that host reaches every disk of it");
  }
  const std::uint64_t epoch = next_epoch(*vm.mutable_placement());
  v1::VmMove move;
  move.set_task_id(change.task_id());
  move.set_host_id(chosen->decision.host_id());
  move.set_epoch(epoch);
  move.set_downtime_ms_max(request.downtime_ms_max());
  move.set_bytes_per_second_max(request.bytes_per_second_max());
  move.set_postcopy(request.postcopy());
  move.set_connections(request.connections());
  GANTRY_CHECK(copy_disks(change, storage, move));
  describe(change, vm, move, storage);
  others.add(move.host_id(), vm.spec());
  *vm.mutable_placement()->mutable_move() = std::move(move);
  *change.task.mutable_plan()->mutable_placement() = policy::in_short(std::move(chosen->decision));
  return {};
}

}  // namespace gantry::control
