// Admission of what is done with existing VMs.
#include "control/admission.h"
#include "control/admit_nics.h"
#include "control/copied_disks.h"
#include "control/placement.h"
#include "control/rule_check.h"
#include "control/same_labels.h"
#include "model/state.h"
#include "model/validate.h"
#include "policy/cpu_models.h"

namespace gantry::control {
namespace {

void next_generation(v1::Vm& vm) { vm.mutable_meta()->set_generation(vm.meta().generation() + 1); }

// For a cancel of this task.
void remember(Change& change, const v1::Vm& vm) {
  v1::VmBefore& before = *change.task.mutable_vm_before();
  before.set_generation(vm.meta().generation());
  before.set_power(vm.spec().power());
  before.set_force_stop_id(vm.spec().force_stop_id());
  before.set_stop_once_timeout_seconds(vm.spec().stop_once_timeout_seconds());
}

// A guest was asked for, and did not end by itself.
bool wants_guest(const v1::Vm& vm) { return vm.spec().power() != v1::VmSpec::STOPPED && !model::boot_ended(vm); }

Result<void> need_guest(const v1::Vm& vm, const std::string& verb) {
  if (wants_guest(vm)) return {};
  return fail(ErrorCode::conflict, "cannot " + verb + " VM \"" + vm.meta().name() + "\"", "it does not run",
              "start it first", "vm_not_running");
}

// Nothing to do: what is asked for is wanted already.
Result<void> already(Change& change, const v1::Vm& vm, const std::string& what) {
  change.step("nothing: VM " + vm.meta().name() + " " + what);
  change.succeed_at_once();
  return {};
}

Result<void> check_room_on(const Change& change, const v1::Vm& vm, const std::string& host_id, std::uint32_t cpus,
                           std::uint32_t memory_mib) {
  const auto* host = change.view().find<v1::Host>(host_id);
  if (host == nullptr) return {};
  const policy::PlaceHost place = place_host(change.view(), *host, vm);
  std::string obstacle;
  if (memory_mib > vm.spec().memory_mib()) obstacle = policy::memory_obstacle(place, memory_mib);
  if (obstacle.empty() && cpus > vm.spec().cpus()) obstacle = policy::cpu_obstacle(place, cpus);
  if (obstacle.empty()) return {};
  return fail(ErrorCode::conflict,
              "host \"" + host->meta().name() + "\" has no room for VM \"" + vm.meta().name() + "\"", obstacle,
              "stop another VM, or make this one smaller", "no_host_fits");
}

// A larger guest takes its room at once, and where it is on its way to. As it was, it fitted.
Result<void> check_room(const Change& change, const v1::Vm& vm, std::uint32_t cpus, std::uint32_t memory_mib) {
  if (!model::holds_memory(vm)) return {};
  for (const std::string& host_id : {vm.placement().host_id(), vm.placement().move().host_id()}) {
    GANTRY_CHECK(check_room_on(change, vm, host_id, cpus, memory_mib));
  }
  return {};
}

// What a guest has is its own until it ends: it is promised to nobody else by a change that waits for the next start.
Result<void> refuse_less(const v1::Vm& vm, const std::string& what, const std::string& has) {
  return fail(ErrorCode::conflict, "cannot take " + what + " from VM \"" + vm.meta().name() + "\" while it runs",
              "its guest uses " + has + " until it is stopped", "stop it first", "vm_running");
}

// A guest starts where its disks are, if that is still allowed; one that is there already stays. What a stopped one is
// counted for, until its host has seen the last change of it, may be promised to others already; and what was found for
// a guest that ended by itself may have become wrong since.
Result<void> check_start(const Change& change, const v1::Vm& vm) {
  const auto* host = change.view().find<v1::Host>(vm.placement().host_id());
  if (host == nullptr) return {};
  // QEMU would refuse the processors only when the guest that is there has been stopped.
  const std::string obstacle =
      wants_guest(vm) ? policy::cpu_model_obstacle(*host, vm.spec().cpu_model()) : start_obstacle(change.view(), vm);
  if (obstacle.empty()) return {};
  return fail(ErrorCode::conflict, "VM \"" + vm.meta().name() + "\" cannot be started",
              "it is on host \"" + host->meta().name() + "\": " + obstacle,
              "see \"gantry explain " + vm.meta().name() + "\"", "no_host_fits");
}

// Its last boot's processors, should it have one that runs, are its own until then.
void warn_of_next_start(Change& change, const v1::Vm& vm) {
  const std::string obstacle = start_obstacle(change.view(), vm);
  if (obstacle.empty()) return;
  const auto* host = change.view().find<v1::Host>(vm.placement().host_id());
  change.warn("VM " + vm.meta().name() + " could not be started on host " + host->meta().name() +
              " as it is now: " + obstacle);
}

void begin_boot(Change& change, v1::Vm& vm) {
  vm.mutable_placement()->set_cpu_model(
      choose_cpu_model(change.view(), demand_of(change.view(), vm, true), vm.placement().host_id()));
  vm.mutable_spec()->set_boot_id(change.task_id());
  vm.mutable_spec()->clear_force_stop_id();
  vm.mutable_spec()->clear_stop_once_timeout_seconds();
  vm.mutable_spec()->set_power(v1::VmSpec::RUNNING);
  next_generation(vm);
}

// What it asks of its hosts.
void update_wishes(Change& change, const v1::UpdateVmRequest& request, const std::set<std::string>& fields,
                   v1::Vm& vm) {
  v1::VmSpec& spec = *vm.mutable_spec();
  const bool models = fields.contains("cpu_model") && request.cpu_model() != spec.cpu_model();
  const bool labels = fields.contains("host_labels") && !same_labels(request.host_labels(), spec.host_labels());
  if (models) {
    spec.set_cpu_model(request.cpu_model());
    change.step(request.cpu_model().empty()
                    ? "let the processors of VM " + vm.meta().name() + " be what its hosts have, from its next start on"
                    : "let the processors of VM " + vm.meta().name() + " be " + request.cpu_model() +
                          " from its next start on");
  }
  if (labels) {
    *spec.mutable_host_labels() = request.host_labels();
    change.step("let VM " + vm.meta().name() + " run only on hosts with the labels asked for, from its next start on");
  }
  if (!models && !labels) return;
  next_generation(vm);
  warn_of_next_start(change, vm);
}

std::string stop_sentence(const v1::Vm& vm, bool force) {
  if (force) return "stop VM " + vm.meta().name() + " at once, without asking its guest";
  return "ask the guest of VM " + vm.meta().name() + " to power off, and force it after a timeout";
}

}  // namespace

Result<void> start_vm(Change& change, const v1::ById& request) {
  auto target = change.target<v1::Vm>("vm.start", request.id());
  if (!target) return fail(std::move(target.error()));
  v1::Vm& vm = **target;
  if (wants_guest(vm)) {
    if (vm.spec().power() == v1::VmSpec::PAUSED) {
      return fail(ErrorCode::conflict, "cannot start VM \"" + vm.meta().name() + "\"", "it is paused",
                  "resume it instead", "vm_paused");
    }
    const bool runs = vm.status().state() == v1::VmStatus::RUNNING;
    return already(change, vm, runs ? "runs" : "is being started by task " + vm.spec().boot_id());
  }
  GANTRY_CHECK(check_start(change, vm));
  begin_boot(change, vm);
  change.step("start VM " + vm.meta().name());
  return {};
}

Result<void> stop_vm(Change& change, const v1::StopVmRequest& request) {
  auto target = change.target<v1::Vm>("vm.stop", request.id());
  if (!target) return fail(std::move(target.error()));
  v1::Vm& vm = **target;
  if (vm.spec().power() == v1::VmSpec::STOPPED && model::is_observed(vm) &&
      vm.status().state() == v1::VmStatus::STOPPED) {
    return already(change, vm, "is stopped");
  }
  remember(change, vm);
  if (request.force()) {
    vm.mutable_spec()->set_force_stop_id(change.task_id());
  } else if (vm.spec().power() != v1::VmSpec::STOPPED) {
    // Left by a forced restart. Of a forced stop under way it stays: that goes on.
    vm.mutable_spec()->clear_force_stop_id();
  }
  vm.mutable_spec()->set_power(v1::VmSpec::STOPPED);
  vm.mutable_spec()->set_stop_once_timeout_seconds(request.timeout_seconds());
  next_generation(vm);
  change.step(stop_sentence(vm, request.force()));
  return {};
}

Result<void> restart_vm(Change& change, const v1::StopVmRequest& request) {
  auto target = change.target<v1::Vm>("vm.restart", request.id());
  if (!target) return fail(std::move(target.error()));
  v1::Vm& vm = **target;
  GANTRY_CHECK(check_start(change, vm));
  if (wants_guest(vm)) change.step(stop_sentence(vm, request.force()));
  begin_boot(change, vm);
  if (request.force()) vm.mutable_spec()->set_force_stop_id(change.task_id());
  vm.mutable_spec()->set_stop_once_timeout_seconds(request.timeout_seconds());
  change.step("start VM " + vm.meta().name());
  return {};
}

Result<void> reset_vm(Change& change, const v1::ById& request) {
  auto target = change.target<v1::Vm>("vm.reset", request.id());
  if (!target) return fail(std::move(target.error()));
  v1::Vm& vm = **target;
  GANTRY_CHECK(need_guest(vm, "reset"));
  vm.mutable_spec()->set_reset_id(change.task_id());
  next_generation(vm);
  change.step("reset VM " + vm.meta().name() + " at once");
  return {};
}

Result<void> pause_vm(Change& change, const v1::ById& request) {
  auto target = change.target<v1::Vm>("vm.pause", request.id());
  if (!target) return fail(std::move(target.error()));
  v1::Vm& vm = **target;
  GANTRY_CHECK(need_guest(vm, "pause"));
  if (vm.spec().power() == v1::VmSpec::PAUSED && vm.status().state() == v1::VmStatus::PAUSED) {
    return already(change, vm, "is paused");
  }
  remember(change, vm);
  vm.mutable_spec()->set_power(v1::VmSpec::PAUSED);
  next_generation(vm);
  change.step("hold the processors of VM " + vm.meta().name());
  return {};
}

Result<void> resume_vm(Change& change, const v1::ById& request) {
  auto target = change.target<v1::Vm>("vm.resume", request.id());
  if (!target) return fail(std::move(target.error()));
  v1::Vm& vm = **target;
  GANTRY_CHECK(need_guest(vm, "resume"));
  if (vm.spec().power() == v1::VmSpec::RUNNING && vm.status().state() == v1::VmStatus::RUNNING) {
    return already(change, vm, "runs");
  }
  remember(change, vm);
  vm.mutable_spec()->set_power(v1::VmSpec::RUNNING);
  next_generation(vm);
  change.step("let the processors of VM " + vm.meta().name() + " go on");
  return {};
}

Result<void> update_vm(Change& change, const v1::UpdateVmRequest& request) {
  auto target = change.target<v1::Vm>("vm.update", request.id());
  if (!target) return fail(std::move(target.error()));
  v1::Vm& vm = **target;
  v1::VmSpec& spec = *vm.mutable_spec();
  const auto fields = model::fields_to_change(request);
  const std::uint32_t memory_mib = fields.count("memory_mib") != 0 ? request.memory_mib() : spec.memory_mib();
  const std::uint32_t cpus = fields.count("cpus") != 0 ? request.cpus() : spec.cpus();
  const bool guest = model::holds_memory(vm) && !model::boot_ended(vm);
  if (guest && memory_mib < spec.memory_mib()) {
    return refuse_less(vm, "memory", std::to_string(spec.memory_mib()) + " MiB");
  }
  if (guest && cpus < spec.cpus()) return refuse_less(vm, "processors", std::to_string(spec.cpus()) + " CPU");
  GANTRY_CHECK(check_room(change, vm, cpus, memory_mib));
  if (memory_mib != spec.memory_mib() || cpus != spec.cpus()) {
    change.step("give VM " + vm.meta().name() + " " + std::to_string(cpus) + " CPU and " + std::to_string(memory_mib) +
                " MiB" + (guest ? " at its next start" : ""));
    spec.set_memory_mib(memory_mib);
    spec.set_cpus(cpus);
    next_generation(vm);
  }
  const std::uint32_t timeout_seconds = request.stop_timeout_seconds();
  if (fields.count("stop_timeout_seconds") != 0 && timeout_seconds != spec.stop_timeout_seconds()) {
    const std::string wait = timeout_seconds != 0 ? std::to_string(timeout_seconds) + " s" : "the usual time";
    change.step("let stops of VM " + vm.meta().name() + " wait " + wait + " for its guest");
    spec.set_stop_timeout_seconds(timeout_seconds);
    next_generation(vm);
  }
  update_wishes(change, request, fields, vm);
  if (fields.count("nic_security_groups") != 0) {
    const auto changed = change_groups(change, request, vm);
    if (!changed) return fail(changed.error());
    if (*changed) next_generation(vm);
  }
  if (fields.count("labels") != 0 && change.label(request.labels(), *vm.mutable_meta(), "VM")) {
    for (std::string& broken : broken_by_labels(change.view(), vm)) change.warn(std::move(broken));
  }
  if (change.task.plan().steps().empty()) change.step("nothing: VM " + vm.meta().name() + " is as asked");
  change.succeed_at_once();
  return {};
}

namespace {

// What a volume needs may go, or be gone, while the VM that it was to go with is being deleted.
std::string why_not_kept(const View& view, const v1::Volume& volume) {
  const auto goes = [](const auto* record) { return record == nullptr || record->meta().has_deletion(); };
  if (goes(view.find<v1::Pool>(volume.spec().pool()))) return "its pool is deleted, or is being deleted";
  const std::string& image_id = volume.spec().image();
  if (image_id.empty() || !goes(view.find<v1::Image>(image_id))) return {};
  return "the image that it stands on is deleted, or is being deleted";
}

}  // namespace

Result<void> delete_vm(Change& change, const v1::DeleteVmRequest& request) {
  auto target = change.target<v1::Vm>("vm.delete", request.id(), true);
  if (!target) return fail(std::move(target.error()));
  v1::Vm& vm = **target;
  GANTRY_CHECK(refuse_copied_to_stay(change.view(), vm, request.keep_volumes()));
  change.mark_deleted(*vm.mutable_meta());
  change.step("stop VM " + vm.meta().name() + " at once and delete it");
  for (const std::string& volume_id : change.view().users_of_kind<v1::Volume>(vm.meta().id())) {
    const auto* volume = change.view().find<v1::Volume>(volume_id);
    if (volume == nullptr) continue;
    if (request.keep_volumes() && !volume->meta().has_deletion()) {
      if (const std::string why = why_not_kept(change.view(), *volume); !why.empty()) {
        return fail(ErrorCode::conflict, "volume \"" + volume->meta().name() + "\" cannot be kept", why,
                    "delete the VM with its volumes", "deleting");
      }
      change.draft.edit<v1::Volume>(volume_id).mutable_spec()->clear_owner_vm_id();
      change.step("keep volume " + volume->meta().name());
    } else {
      change.step("delete volume " + volume->meta().name() + " (" + model::bytes_text(model::promised_bytes(*volume)) +
                  ")");
    }
  }
  return {};
}

}  // namespace gantry::control
