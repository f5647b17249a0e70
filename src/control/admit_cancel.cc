// CancelTask: takes back what a task asked for.
#include "control/admission.h"
#include "control/admit_volume.h"
#include "control/copied_disks.h"
#include "control/disk_moves.h"
#include "model/state.h"

namespace gantry::control {
namespace {

// What was being made goes again, unless something came to use it; the task ends when nothing is left of it.
template <class Record>
Result<void> undo_create(Change& change, const v1::Task& task) {
  const auto* record = change.view().find<Record>(task.target_id());
  if (record == nullptr || record->meta().has_deletion()) {
    change.step("nothing: what it made is gone, or is being deleted");
    return {};
  }
  if constexpr (std::is_same_v<Record, v1::Vm>) GANTRY_CHECK(refuse_copied_to_stay(change.view(), *record, false));
  for (const std::string& user : change.view().users_of(task.target_id())) {
    const auto* volume = change.view().find<v1::Volume>(user);
    const bool goes_with_it = volume != nullptr && volume->spec().owner_vm_id() == task.target_id();
    // Rules forget what is gone.
    const bool is_no_use =
        change.view().find<v1::Task>(user) != nullptr || change.view().find<v1::Rule>(user) != nullptr;
    if (goes_with_it || is_no_use) continue;
    return fail(ErrorCode::conflict, Change::quoted<Record>("cannot take back the", record->meta().name()),
                user + " uses it already", "delete what uses it first", "in_use");
  }
  change.step("delete the " + std::string(Kind<Record>::noun) + " " + record->meta().name() +
              " and what was made of it");
  set_deletion(*change.draft.edit<Record>(task.target_id()).mutable_meta(), task.meta().id(), change.now());
  return {};
}

// What a stop, pause or resume asks for.
v1::VmSpec::Power power_of(const v1::Task& task) {
  if (task.action() == "vm.stop") return v1::VmSpec::STOPPED;
  return task.action() == "vm.pause" ? v1::VmSpec::PAUSED : v1::VmSpec::RUNNING;
}

// The first later one under way that found the VM as `task` left it.
const v1::Task* next_alike(const View& view, const v1::Task& task) {
  const v1::Task* next = nullptr;
  for (const std::string& id : view.users_of_kind<v1::Task>(task.target_id())) {
    const auto* other = view.find<v1::Task>(id);
    const bool later = other != nullptr && other->vm_before().generation() > task.vm_before().generation() &&
                       other->vm_before().power() == power_of(task);
    if (later && (next == nullptr || other->vm_before().generation() < next->vm_before().generation())) next = other;
  }
  return next;
}

// As if the task had never been: one after it that wants the same still has its way, and inherits what to go back to.
void undo_power(Change& change, const v1::Task& task, v1::Vm& vm) {
  if (const v1::Task* next = next_alike(change.view(), task)) {
    *change.draft.edit<v1::Task>(next->meta().id()).mutable_vm_before() = task.vm_before();
    return;
  }
  v1::VmSpec& spec = *vm.mutable_spec();
  if (spec.power() != power_of(task)) return;
  // Only a guest that is still there goes on; without a boot it was never wanted to run.
  const bool there = model::has_guest(vm.status().state()) && vm.status().boot_id() == spec.boot_id();
  if (spec.power() == v1::VmSpec::STOPPED && (spec.boot_id().empty() || !there)) return;
  spec.set_power(task.vm_before().power());
  spec.set_force_stop_id(task.vm_before().force_stop_id());
  spec.set_stop_once_timeout_seconds(task.vm_before().stop_once_timeout_seconds());
}

// Wants again what was wanted, or is, without that task.
void undo_vm_change(Change& change, const v1::Task& task) {
  v1::Vm& vm = change.draft.edit<v1::Vm>(task.target_id());
  v1::VmSpec& spec = *vm.mutable_spec();
  const std::string before = to_bytes(spec);
  const std::string& id = task.meta().id();
  if (task.has_vm_before()) {
    undo_power(change, task, vm);
  } else if (task.action() == "vm.start" && spec.boot_id() == id) {
    spec.set_power(v1::VmSpec::STOPPED);
    spec.set_force_stop_id(id);
  } else if (task.action() == "vm.reset" && spec.reset_id() == id) {
    // Not the one before: to want an older reset again is to do it again, should this one be done already.
    spec.clear_reset_id();
  }
  if (to_bytes(spec) != before) vm.mutable_meta()->set_generation(vm.meta().generation() + 1);
}

bool is_create(const v1::Task& task) {
  const std::string& action = task.action();
  return action.size() > 7 && action.compare(action.size() - 7, 7, ".create") == 0;
}

Result<void> undo_create_of_kind(Change& change, const v1::Task& task) {
  const std::string& action = task.action();
  if (action == "vm.create") return undo_create<v1::Vm>(change, task);
  if (action == "volume.create") return undo_create<v1::Volume>(change, task);
  if (action == "image.create") return undo_create<v1::Image>(change, task);
  if (action == "network.create") return undo_create<v1::Network>(change, task);
  return undo_create<v1::Pool>(change, task);
}

// Its host says whether it was in time; the task ends then. Nobody has to wait for a target that was lost afterwards.
Result<void> undo_move(Change& change, v1::Task& task, const std::string& what) {
  const auto* vm = change.view().find<v1::Vm>(task.target_id());
  if (vm != nullptr && vm->placement().moved_by() == task.meta().id()) {
    change.step("wait no longer until the guest of VM " + task.target_name() + " goes on on host " +
                host_name(change.view(), vm->placement().host_id()) + ", which it belongs to already");
    task.set_cancel_requested(true);
    end_task(task, v1::Task::CANCELLED, change.now());
    return {};
  }
  if (vm == nullptr || vm->placement().move().task_id() != task.meta().id()) {
    return fail(ErrorCode::conflict, "cannot cancel " + what, "the guest went already",
                "move it back when it has ended", "cannot_cancel");
  }
  change.step("keep the guest of VM " + task.target_name() + " where it is, unless it is gone by then");
  task.set_cancel_requested(true);
  change.draft.edit<v1::Vm>(task.target_id()).mutable_placement()->mutable_move()->set_cancelled(true);
  return {};
}

// As undo_move().
Result<void> undo_disk_move(Change& change, v1::Task& task, const std::string& what) {
  for (const std::string& id : change.view().users_of_kind<v1::Vm>(task.target_id())) {
    const auto* vm = change.view().find<v1::Vm>(id);
    if (vm == nullptr || vm->placement().disk_move().task_id() != task.meta().id()) continue;
    change.step("keep volume " + task.target_name() + " where it is, unless its copy is used by then");
    task.set_cancel_requested(true);
    cancel_disk_move(change.draft.edit<v1::Vm>(id), {});
    return {};
  }
  return fail(ErrorCode::conflict, "cannot cancel " + what, "the guest uses the copy already",
              "move it back when it has ended", "cannot_cancel");
}

// Its guests may come back, but nobody brings them.
void undo_maintenance(Change& change, v1::Task& task) {
  task.set_cancel_requested(true);
  end_task(task, v1::Task::CANCELLED, change.now());
  change.step("let guests be placed and started on host " + task.target_name() +
              " again; moves that are under way go on, and those that were moved stay where they are");
  v1::Host& host = change.draft.edit<v1::Host>(task.target_id());
  host.mutable_spec()->set_maintenance(false);
  host.mutable_meta()->set_generation(host.meta().generation() + 1);
}

}  // namespace

Result<void> cancel_task(Change& change, const std::string& task_id) {
  auto target = change.target<v1::Task>("task.cancel", task_id);
  if (!target) return fail(std::move(target.error()));
  v1::Task& task = **target;
  if (task.cancel_requested()) {
    change.step("nothing: task " + task_id + " is being cancelled");
    return {};
  }
  const std::string what = "task " + task_id + " (" + task.action() + " " + task.target_name() + ")";
  if (model::is_ended(task.state())) {
    return fail(ErrorCode::conflict, "cannot cancel " + what, "it has ended", "see \"gantry task show\"", "task_ended");
  }
  if (is_create(task)) {
    task.set_cancel_requested(true);
    return undo_create_of_kind(change, task);
  }
  if (task.action() == "vm.move") return undo_move(change, task, what);
  if (task.action() == "volume.move") return undo_disk_move(change, task, what);
  if (task.action() == "host.update" && change.view().find<v1::Host>(task.target_id()) != nullptr) {
    undo_maintenance(change, task);
    return {};
  }
  // A restart may have ended the guest by now, unknown here: to want the boot before it would be to do that one twice.
  const bool final = task.action() == "vm.delete" || task.action() == "vm.restart";
  if (task.action().rfind("vm.", 0) != 0 || final) {
    return fail(ErrorCode::conflict, "cannot cancel " + what, "it cannot be taken back", "wait until it ends",
                "cannot_cancel");
  }
  change.step("take back " + task.action() + " of VM " + task.target_name() + ", as far as it can be");
  task.set_cancel_requested(true);
  const auto* vm = change.view().find<v1::Vm>(task.target_id());
  if (vm != nullptr && !vm->meta().has_deletion()) undo_vm_change(change, task);
  end_task(task, v1::Task::CANCELLED, change.now());
  return {};
}

}  // namespace gantry::control
