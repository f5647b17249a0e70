#include <algorithm>

#include "host/core.h"
#include "model/cloud_init.h"
#include "model/uid.h"

namespace gantry::host {

// What the hypervisor shows, never what a record says: a record is older than the world.
port::GuestObservation Core::guest_of(const std::string& id) const {
  port::GuestObservation nothing;
  nothing.vm_id = id;
#ifdef GANTRY_BREAK_TRUST_RECORD
  const auto vm = table_.vms.find(id);
  if (vm != table_.vms.end() && vm->second.wanted.status().state() == v1::VmStatus::RUNNING) {
    nothing.state = port::GuestObservation::State::running;
    nothing.boot_id = vm->second.wanted.status().boot_id();
    nothing.reset_id = vm->second.wanted.status().reset_id();
    return nothing;
  }
#endif
  const auto guest = guests_.find(id);
  return guest == guests_.end() ? nothing : guest->second;
}

VmInput Core::vm_input(const VmObject& vm, const port::GuestObservation& guest, const VmNeeds& needs) const {
  return VmInput{.wanted = vm.wanted,
                 .guest = guest,
                 .memory = vm.memory,
                 .needs = needs,
                 .role = role_of(vm.wanted, options_.host_id),
                 .leaves_lease = !leave_of(vm.wanted, options_.host_id).lease_pool().empty(),
                 .under_way = vm.under_way,
                 .default_stop_timeout_seconds = options_.stop_timeout_seconds,
                 .now = now()};
}

void Core::tend_vms() {
  std::set<std::string> gone;
  for (auto& [id, vm] : table_.vms) {
    const port::GuestObservation guest = guest_of(id);
    const VmNeeds needs = needs_of(vm);
    refresh_memory(vm.memory, vm.wanted, guest, needs.lease, vm.under_way, now());
    tend_lease(id, vm, guest);
    const VmPlan plan = plan_vm(vm_input(vm, guest, needs));
    wake_at(plan.wake_at_ms);
    if (plan.step == VmStep::gone) {
      gone.insert(id);
    } else {
      carry_out(id, vm, plan);
    }
  }
  for (const std::string& id : gone) {
    gone_[id] = table_.let_go(id, options_.host_id);
    leases_.erase(id);
  }
  if (!gone.empty()) touch();
  if (!assignments_known_) return;
  for (const auto& [id, guest] : guests_) {
    if (table_.vms.contains(id) || !orphans_logged_.insert(id).second) continue;
    log("guest " + id + " is on this host but not assigned to it; it is left alone");
  }
}

// ---- what a start needs

void Core::need_disk(const VmObject& vm, const v1::VmDisk& disk, VmNeeds& needs) const {
  const auto found = table_.volumes.find(disk.volume());
  if (found == table_.volumes.end()) {
    needs.waiting_for = "volume " + disk.volume();
    return;
  }
  const VolumeObject& volume = found->second;
  const bool arrives = role_of(vm.wanted, options_.host_id) == VmRole::arriving;
  if (volume.look_only) {
    const bool there = volume.memory.presence == Presence::present;
    const std::string name = quoted_name("volume", volume.wanted);
    // Its keeper made it the guest's, whose user is the same everywhere.
    if (!arrives || !there) needs.waiting_for = name + (arrives ? " to be seen" : " to be this host's to keep");
    return;
  }
  const VolumeInput input = volume_input(volume);
  const std::string name = quoted_name("volume", volume.wanted);
  const VolumeMemory& memory = volume.memory;
  if (volume.wanted.meta().has_deletion()) {
    needs.problem = make_problem("volume_deleted", name + " is being deleted", "", "", now());
  } else if (memory.trouble && memory.trouble->definite) {
    needs.problem = memory.trouble->problem;
  } else if (memory.presence == Presence::absent && input.needs_problem) {
    needs.problem = input.needs_problem;
  }
  if (memory.presence == Presence::unknown && !memory.trouble) needs.unknown = true;
  const bool ready =
      memory.presence == Presence::present && volume.under_way == VolumeStep::none && !grows(volume.wanted, memory);
  if (!ready || memory.uid != model::guest_uid(vm.wanted.meta().id())) needs.waiting_for = name;
  for (const auto& [id, other] : table_.vms) {
    if (&other == &vm || !may_run(id, other)) continue;
    const auto has_it = [&disk](const v1::VmDisk& theirs) { return theirs.volume() == disk.volume(); };
    if (std::ranges::none_of(other.wanted.spec().disks(), has_it)) continue;
    needs.waiting_for = quoted_name("VM", other.wanted) + " to stop using " + name;
    const bool goes_on = other.wanted.spec().power() != v1::VmSpec::STOPPED && !other.wanted.meta().has_deletion();
    if (!goes_on || needs.problem) continue;
    needs.problem = make_problem("volume_in_use", name + " is in use", quoted_name("VM", other.wanted) + " has it open",
                                 "stop that VM first", now());
  }
}

// A kernel to boot, or an image that says which firmware to boot with.
void Core::need_image(const VmObject& vm, VmNeeds& needs) const {
  const std::string& image_id = vm.wanted.spec().image();
  if (image_id.empty()) return;
  const auto image = table_.images.find(image_id);
  if (image == table_.images.end()) {
    needs.waiting_for = "image " + image_id;
    return;
  }
  const ImageMemory& memory = image->second.memory;
  if (image->second.wanted.spec().kind() != v1::ImageSpec::KERNEL || memory.presence == Presence::present) return;
  needs.waiting_for = quoted_name("image", image->second.wanted);
  if (auto problem = lasting_problem(image->second)) needs.problem = std::move(problem);
}

void Core::need_networks(const VmObject& vm, VmNeeds& needs) const {
  for (const v1::VmNic& nic : vm.wanted.spec().nics()) {
    const auto found = table_.networks.find(nic.network());
    if (found == table_.networks.end()) {
      needs.waiting_for = "network " + nic.network();
      continue;
    }
    const NetworkObject& network = found->second;
    const MaybeTrouble& trouble = network.memory.trouble;
    if (trouble && trouble->definite) needs.problem = trouble->problem;
    if (!is_ready(network.wanted, network.memory)) needs.waiting_for = quoted_name("network", network.wanted);
  }
}

VmNeeds Core::needs_of(const VmObject& vm) const {
  VmNeeds needs;
  // Where others reach it is not known before.
  const bool arrives = role_of(vm.wanted, options_.host_id) == VmRole::arriving;
  if (arrives && !host_probed_) needs.waiting_for = "this host to be looked at";
  need_networks(vm, needs);
  need_image(vm, needs);
  need_lease(vm, needs);
  need_copy(vm, needs);
  for (const v1::VmDisk& disk : vm.wanted.spec().disks()) need_disk(vm, disk, needs);
  return needs;
}

// ---- calls

void Core::note_vm_failure(VmObject& vm, const Error& error, const std::string& operation_id) {
  note_failure(vm.memory.trouble, error, operation_id, now(), operation_id.empty() ? Tries::endless : Tries::some);
}

port::Done Core::vm_done(const std::string& id, std::string operation_id, std::function<void(VmObject&)> on_success) {
  return alive([id, operation_id = std::move(operation_id), on_success = std::move(on_success)](
                   Core& core, const Result<void>& result) {
    VmObject& vm = core.table_.vms.at(id);
    // A kill that cut this call short goes on.
    vm.under_way = vm.cut_short ? VmStep::kill : VmStep::none;
    core.touch();
    if (!result) {
      if (!vm.cut_short) core.note_vm_failure(vm, result.error(), operation_id);
      return;
    }
    if (vm.memory.trouble && !vm.memory.trouble->definite) vm.memory.trouble.reset();
    on_success(vm);
  });
}

void Core::kill(const std::string& id, VmObject& vm) {
  if (vm.cut_short) return;
  if (vm.under_way == VmStep::none) vm.under_way = VmStep::kill;
  vm.cut_short = true;
  const std::string task_id = vm.wanted.meta().deletion().task_id();
  ports_.hypervisor.kill(id, alive([id, task_id](Core& core, const Result<void>& result) {
                           VmObject& object = core.table_.vms.at(id);
                           object.cut_short = false;
                           if (object.under_way == VmStep::kill) object.under_way = VmStep::none;
                           core.touch();
                           if (!result) core.note_vm_failure(object, result.error(), task_id);
                         }));
}

void Core::attach_nic(const std::string& id, VmObject& vm) {
  VmMemory& memory = vm.memory;
  const v1::VmSpec& spec = vm.wanted.spec();
  if (memory.boot_id != spec.boot_id()) {
    memory.nics.clear();
    memory.seed.reset();
    memory.boot_id = spec.boot_id();
  }
  memory.detached = false;
  // Attaching gives them; a change from here on is given to all NICs once more.
  if (memory.nics.empty()) vm.groups.given = vm.groups.version;
  ports_.network.attach(nic_request(id, vm, static_cast<std::uint32_t>(memory.nics.size())),
                        alive([id, boot_id = spec.boot_id()](Core& core, const Result<port::GuestNic>& result) {
                          VmObject& object = core.table_.vms.at(id);
                          object.under_way = VmStep::none;
                          core.touch();
                          if (result) {
                            object.memory.nics.push_back(*result);
                            object.memory.trouble.reset();
                          } else {
                            core.note_vm_failure(object, result.error(), boot_id);
                          }
                        }));
}

void Core::make_seed(const std::string& id, VmObject& vm) {
  vm.memory.boot_id = vm.wanted.spec().boot_id();
  vm.memory.seed_deleted = false;
  std::vector<v1::Network> networks;
  for (const v1::VmNic& nic : vm.wanted.spec().nics()) networks.push_back(table_.networks.at(nic.network()).wanted);
  const auto files = model::cloud_init_files(vm.wanted, networks);
  ports_.storage.make_seed(id, model::guest_uid(id), files,
                           alive([id, boot_id = vm.memory.boot_id](Core& core, const Result<std::string>& result) {
                             VmObject& object = core.table_.vms.at(id);
                             object.under_way = VmStep::none;
                             core.touch();
                             if (result) {
                               object.memory.seed = *result;
                               object.memory.trouble.reset();
                             } else {
                               core.note_vm_failure(object, result.error(), boot_id);
                             }
                           }));
}

port::GuestDefinition Core::define(const VmObject& vm) const {
  const v1::VmSpec& spec = vm.wanted.spec();
  port::GuestDefinition guest;
  guest.vm_id = vm.wanted.meta().id();
  guest.name = vm.wanted.meta().name();
  guest.boot_id = spec.boot_id();
  guest.cpus = spec.cpus();
  guest.memory_mib = spec.memory_mib();
  if (role_of(vm.wanted, options_.host_id) == VmRole::arriving) {
    // It comes as it was booted, whatever is wanted for its next boot.
    const v1::VmStatus& status = vm.wanted.status();
    guest.started_unix_ms = status.started_at().seconds() * 1'000;
    if (status.booted_cpus() != 0) guest.cpus = status.booted_cpus();
    if (status.booted_memory_mib() != 0) guest.memory_mib = status.booted_memory_mib();
  }
  guest.uefi = spec.firmware() == v1::VmSpec::UEFI;
  guest.balloon = spec.balloon();
  guest.uid = model::guest_uid(guest.vm_id);
  guest.cpu_model = vm.wanted.placement().cpu_model();
  for (const v1::VmDisk& disk : spec.disks()) {
    const VolumeObject& volume = table_.volumes.at(disk.volume());
    guest.disks.push_back({.path = volume.memory.facts.path,
                           .format = volume.wanted.spec().format(),
                           .bus = disk.bus(),
                           .read_only = disk.read_only(),
                           .volume_id = disk.volume(),
                           .serial = disk.serial().empty() ? disk.volume() : disk.serial()});
  }
  guest.nics = vm.memory.nics;
  guest.seed = vm.memory.seed.value_or("");
  const PoolObject* pool = find_pool(lease_pool(vm));
  if (spec.tpm() && pool != nullptr) {
    guest.tpm_directory = port::tpm_directory(pool->wanted.spec().path(), guest.vm_id);
  }
  if (const auto lease = leases_.find(guest.vm_id); lease != leases_.end()) guest.guard = lease->second.guard;
  const auto image = table_.images.find(spec.image());
  if (image == table_.images.end()) return guest;
  const v1::ImageSpec& image_spec = image->second.wanted.spec();
  if (spec.firmware() == v1::VmSpec::FROM_IMAGE) guest.uefi = image_spec.uefi();
  if (image_spec.kind() == v1::ImageSpec::KERNEL) {
    guest.kernel = image->second.memory.facts.path;
    guest.initramfs = image->second.memory.facts.initramfs_path;
    guest.kernel_arguments = image_spec.kernel_arguments();
  }
  return guest;
}

void Core::start_guest(const std::string& id, VmObject& vm) {
  const port::GuestDefinition guest = define(vm);
  ports_.hypervisor.start(guest, alive([id, boot_id = guest.boot_id](Core& core, const Result<void>& result) {
                            VmObject& object = core.table_.vms.at(id);
                            object.under_way = object.cut_short ? VmStep::kill : VmStep::none;
                            core.touch();
                            if (result) {
                              object.memory.trouble.reset();
                            } else if (!object.cut_short) {
                              // However else it failed, the hypervisor remembers this boot as one that is over.
                              const bool began = result.error().reason != "not_guarded";
                              note_failure(object.memory.trouble, result.error(), boot_id, core.now(),
                                           began ? Tries::none : Tries::endless);
                            }
                          }));
}

void Core::power_down(const std::string& id, VmObject& vm) {
  VmMemory& memory = vm.memory;
  const std::string boot_id = guest_of(id).boot_id;
  if (memory.stopping_boot_id != boot_id) {
    memory.stopping_boot_id = boot_id;
    memory.stopping_since_ms = now().monotonic_ms;
  }
  memory.asked_at_ms = now().monotonic_ms;
  ports_.hypervisor.power_down(id, vm_done(id, "", [](VmObject&) {}));
}

void Core::detach(const std::string& id, VmObject& vm) {
  const std::string task_id = vm.wanted.meta().deletion().task_id();
  ports_.network.detach(id, alive([id, task_id](Core& core, const Result<void>& result) {
                          VmObject& object = core.table_.vms.at(id);
                          VmMemory& memory = object.memory;
                          object.under_way = VmStep::none;
                          core.touch();
                          if (!result && !task_id.empty()) {
                            core.note_vm_failure(object, result.error(), task_id);
                          } else if (!result) {
                            note_failure(memory.cleanup_trouble, result.error(), "", core.now(), Tries::endless);
                          } else {
                            memory.detached = true;
                            memory.boot_id.clear();
                            memory.nics.clear();
                            memory.seed.reset();
                            memory.cleanup_trouble.reset();
                          }
                        }));
}

void Core::carry_out(const std::string& id, VmObject& vm, const VmPlan& plan) {
  if (plan.step == VmStep::none) return;
  if (plan.step == VmStep::kill) return kill(id, vm);
  if (plan.step == VmStep::stop_sending) {
    vm.memory.move.stops_sending = true;
    return ports_.mover.stop_sending(id);
  }
  if (plan.step == VmStep::stop_copying) {
    vm.memory.disk_move.stops = true;
    return ports_.copier.stop_copying(id);
  }
  if (plan.step == VmStep::give) {
    vm.memory.move.gives = true;
    return touch();
  }
  if (plan.step == VmStep::fail) {
    vm.memory.trouble = Trouble{.problem = plan.problem, .definite = true, .operation_id = plan.operation_id};
    return touch();
  }
  vm.under_way = plan.step;
  const std::string task_id = vm.wanted.meta().deletion().task_id();
  switch (plan.step) {
    case VmStep::attach: return attach_nic(id, vm);
    case VmStep::make_seed: return make_seed(id, vm);
    case VmStep::start: return start_guest(id, vm);
    case VmStep::power_down: return power_down(id, vm);
    case VmStep::pause: return ports_.hypervisor.pause(id, vm_done(id, "", [](VmObject&) {}));
    case VmStep::resume:
      if (vm.memory.held_resume_at_ms) vm.memory.held_resume_at_ms = now().monotonic_ms + kResumeHeldMs;
      return ports_.hypervisor.resume(id, vm_done(id, "", [](VmObject&) {}));
    case VmStep::reset: {
      const std::string& reset_id = vm.wanted.spec().reset_id();
      return ports_.hypervisor.reset(id, reset_id, vm_done(id, reset_id, [](VmObject&) {}));
    }
    case VmStep::detach: return detach(id, vm);
    case VmStep::receive: return receive(id, vm);
    case VmStep::measure: return measure(id, vm);
    case VmStep::send: return send_guest(id, vm);
    case VmStep::take_over: return take_over(id, vm);
    case VmStep::copy_disk: return copy_disk(id, vm);
    case VmStep::remove_lease: return remove_lease(id, vm);
    case VmStep::delete_seed:
      return ports_.storage.delete_seed(
          id, vm_done(id, task_id, [](VmObject& object) { object.memory.seed_deleted = true; }));
    case VmStep::forget: {
      const auto erase = [this](VmObject& object) {
        guests_.erase(object.wanted.meta().id());
        object.memory.forgotten = true;
      };
      return ports_.hypervisor.forget(id, vm_done(id, task_id, erase));
    }
    default: return;
  }
}

}  // namespace gantry::host
