// The calls of a disk's move to another pool.
#include "host/core.h"
#include "model/uid.h"

namespace gantry::host {
namespace {

std::optional<std::size_t> index_of(const v1::VmSpec& spec, const std::string& volume_id) {
  for (int i = 0; i < spec.disks_size(); ++i) {
    if (spec.disks(i).volume() == volume_id) return static_cast<std::size_t>(i);
  }
  return std::nullopt;
}

}  // namespace

bool Core::is_copying(const std::string& id) const {
  const VmObject& vm = table_.vms.at(id);
  const port::GuestObservation guest = guest_of(id);
  return vm.under_way == VmStep::copy_disk || guest.copies_disk ||
         guest.disk_copy_id == vm.wanted.placement().disk_move().task_id();
}

void Core::need_copy(const VmObject& vm, VmNeeds& needs) const {
  if (!vm.wanted.placement().has_disk_move()) return;
  const auto found = table_.volumes.find(vm.wanted.placement().disk_move().disk().copy());
  if (found == table_.volumes.end()) return;
  const VolumeObject& volume = found->second;
  const VolumeMemory& memory = volume.memory;
  if (memory.trouble && memory.trouble->definite) needs.copy_problem = memory.trouble->problem;
  needs.copy_ready = !volume.look_only && memory.presence == Presence::present &&
                     volume.under_way == VolumeStep::none && memory.uid == model::guest_uid(vm.wanted.meta().id());
}

void Core::copy_disk(const std::string& id, VmObject& vm) {
  const v1::VmDiskMove& move = vm.wanted.placement().disk_move();
  const VolumeObject& copy = table_.volumes.at(move.disk().copy());
  const auto done = [id, task_id = move.task_id()](Core& core, const Result<void>& result) {
    VmObject& object = core.table_.vms.at(id);
    object.under_way = object.cut_short ? VmStep::kill : VmStep::none;
    core.touch();
    DiskMoveMemory& memory = object.memory.disk_move;
    // One that is no longer wanted has its reason already.
    if (result || memory.task_id != task_id || std::exchange(memory.stops, false)) return;
    memory.problem = to_problem(result.error(), core.now());
  };
  const auto index = index_of(vm.wanted.spec(), move.disk().volume());
  if (!index) return done(*this, fail(ErrorCode::internal, "volume " + move.disk().volume() + " is no disk of the VM"));
  port::DiskCopyRequest request{.id = move.task_id(), .index = *index, .copy = {}};
  request.copy.path = copy.memory.facts.path;
  request.copy.format = copy.wanted.spec().format();
  request.copy.volume_id = move.disk().copy();
  request.bytes_per_second_max = move.bytes_per_second_max();
  vm.memory.disk_move.stops = false;
  const auto progress = [id](Core& core, const port::DiskCopyProgress& told) { core.note_copied(id, told); };
  ports_.copier.copy_disk(id, request, alive(progress), alive(done));
}

void Core::note_copied(const std::string& id, const port::DiskCopyProgress& told) {
  const auto vm = table_.vms.find(id);
  if (vm == table_.vms.end()) return;
  DiskMoveMemory& memory = vm->second.memory.disk_move;
  const bool is_new = memory.progress.phase().empty();
  if (!is_new && now().monotonic_ms - memory.told_at_ms < kProgressEveryMs) return;
  memory.told_at_ms = now().monotonic_ms;
  const std::uint64_t all = told.bytes_done + told.bytes_left;
  memory.progress.set_phase("copying the disk");
  memory.progress.set_percent(
      all == 0 ? 0
               : static_cast<std::uint32_t>(100.0 * static_cast<double>(told.bytes_done) / static_cast<double>(all)));
  memory.progress.set_measurable(true);
  touch();
}

}  // namespace gantry::host
