#include "control/copied_disks.h"

#include <utility>

#include "control/admit_volume.h"
#include "model/names.h"

namespace gantry::control {
namespace {

std::string copy_name(const Draft& draft, const std::string& name) {
  std::string copy = model::name_with_suffix(name, "-copy");
  for (int n = 2; draft.has_name<v1::Volume>(copy); ++n) {
    copy = model::name_with_suffix(name, "-copy" + std::to_string(n));
  }
  return copy;
}

Error moving(const v1::Volume& volume, std::string cause) {
  return {ErrorCode::conflict, "volume \"" + volume.meta().name() + "\" is being copied", std::move(cause),
          "wait for that task, or cancel it", "volume_moving"};
}

}  // namespace

void put_in_place(v1::VmSpec& spec, const v1::CopiedDisk& copied) {
  for (v1::VmDisk& disk : *spec.mutable_disks()) {
    if (disk.volume() != copied.volume()) continue;
    if (disk.serial().empty()) disk.set_serial(copied.volume());
    disk.set_volume(copied.copy());
  }
}

Result<v1::CopiedDisk> make_copy(Change& change, const v1::Volume& volume, const v1::Pool& pool,
                                 const std::string& host_id) {
  GANTRY_CHECK(refuse_copied(change.view(), volume));
  if (volume.status().state() != v1::VolumeStatus::READY) {
    return fail(ErrorCode::conflict, "volume \"" + volume.meta().name() + "\" cannot be copied",
                volume.status().has_problem() ? volume.status().problem().summary() : "it is being made, or changed",
                "see \"gantry volume show " + volume.meta().name() + "\"", "volume_not_ready");
  }
  NewVolumeWish wish{.name = copy_name(change.draft, volume.meta().name()),
                     .pool = &pool,
                     .capacity_bytes = volume.status().capacity_bytes(),
                     .format = volume.spec().format()};
  wish.owner_vm_id = volume.spec().owner_vm_id();
  wish.host_id = host_id;
  wish.labels = volume.meta().labels();
  const auto made = make_volume(change, wish);
  if (!made) return fail(made.error());
  v1::Volume& copy = change.draft.edit<v1::Volume>((*made)->meta().id());
  copy.mutable_spec()->set_copy_of(volume.meta().id());
  v1::CopiedDisk disk;
  disk.set_volume(volume.meta().id());
  disk.set_copy(copy.meta().id());
  return disk;
}

void switch_to_copy(Draft& draft, v1::Vm& vm, const v1::CopiedDisk& disk, const std::string& task_id, Now now) {
  put_in_place(*vm.mutable_spec(), disk);
  vm.mutable_meta()->set_generation(vm.meta().generation() + 1);
  if (draft.find<v1::Volume>(disk.copy()) == nullptr || draft.find<v1::Volume>(disk.volume()) == nullptr) return;
  v1::Volume& copy = draft.edit<v1::Volume>(disk.copy());
  v1::Volume& old = draft.edit<v1::Volume>(disk.volume());
  std::swap(*copy.mutable_meta()->mutable_name(), *old.mutable_meta()->mutable_name());
  *copy.mutable_meta()->mutable_labels() = old.meta().labels();
  copy.mutable_spec()->clear_copy_of();
  copy.mutable_meta()->set_generation(copy.meta().generation() + 1);
  if (!old.meta().has_deletion()) set_deletion(*old.mutable_meta(), task_id, now);
}

void drop_copy(Draft& draft, const v1::CopiedDisk& disk, const std::string& task_id, Now now) {
  const auto* copy = draft.find<v1::Volume>(disk.copy());
  if (copy == nullptr || copy->meta().has_deletion()) return;
  set_deletion(*draft.edit<v1::Volume>(disk.copy()).mutable_meta(), task_id, now);
}

std::vector<v1::CopiedDisk> copied_disks(const v1::Vm& vm) {
  const v1::VmPlacement& placement = vm.placement();
  std::vector<v1::CopiedDisk> disks(placement.move().disks().begin(), placement.move().disks().end());
  if (placement.has_disk_move()) disks.push_back(placement.disk_move().disk());
  return disks;
}

Result<void> refuse_copied(const View& view, const v1::Volume& volume) {
  const std::string& id = volume.meta().id();
  for (const std::string& vm_id : view.users_of_kind<v1::Vm>(id)) {
    const auto* vm = view.find<v1::Vm>(vm_id);
    if (vm == nullptr) continue;
    for (const v1::CopiedDisk& disk : copied_disks(*vm)) {
      const std::string of_vm = "VM \"" + vm->meta().name() + "\"";
      if (disk.volume() == id) {
        return fail(moving(volume, "it goes to another pool, or with " + of_vm + " to another host"));
      }
      if (disk.copy() == id) return fail(moving(volume, "it is the copy of a disk of " + of_vm));
    }
  }
  return {};
}

Result<void> refuse_copied_to_stay(const View& view, const v1::Vm& vm, bool keep_volumes) {
  for (const v1::CopiedDisk& disk : copied_disks(vm)) {
    const auto* volume = view.find<v1::Volume>(disk.volume());
    if (volume != nullptr && (keep_volumes || volume->spec().owner_vm_id() != vm.meta().id())) {
      GANTRY_CHECK(refuse_copied(view, *volume));
    }
  }
  return {};
}

}  // namespace gantry::control
