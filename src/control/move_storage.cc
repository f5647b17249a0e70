#include "control/move_storage.h"

#include <algorithm>
#include <optional>

#include "control/admit_volume.h"
#include "control/copied_disks.h"
#include "control/placement.h"
#include "control/pool_hosts.h"
#include "control/vm_hosts.h"
#include "model/pool_drivers.h"
#include "model/state.h"

namespace gantry::control {
namespace {

tl::unexpected<Error> cannot(std::string why) {
  return fail(ErrorCode::conflict, "that host cannot take it", std::move(why), "");
}

const v1::Pool* pool_of_image(const View& view, const v1::Image& image) {
  return view.find<v1::Pool>(image.spec().pool());
}

bool reaches(const View& view, const std::string& host_id, const v1::Pool* pool) {
  return pool != nullptr && has_pool(view, host_id, *pool);
}

// A volume is nothing without the image that it stands on.
bool reaches(const View& view, const std::string& host_id, const v1::Volume& volume) {
  const auto* image = view.find<v1::Image>(volume.spec().image());
  return reaches(view, host_id, view.find<v1::Pool>(volume.spec().pool())) &&
         (image == nullptr || reaches(view, host_id, pool_of_image(view, *image)));
}

// What keeps a host from using a pool that it has.
std::string use_obstacle(const v1::Pool& pool, const std::string& host_id) {
  const bool failed =
      pool.spec().shared() ? !pool_obstacle(pool, host_id).empty() : pool.status().state() == v1::PoolStatus::FAILED;
  const std::string& name = pool.meta().name();
  return failed ? "it cannot use pool " + name + ": see \"gantry pool show " + name + "\"" : "";
}

std::uint64_t bytes_of(const std::vector<const v1::Volume*>& volumes) {
  std::uint64_t bytes = 0;
  for (const v1::Volume* volume : volumes) bytes += volume->status().capacity_bytes();
  return bytes;
}

// Why what is to be copied cannot go there; empty: it can.
std::string copy_obstacle(const Change& change, const v1::Pool& pool, const std::string& host_id,
                          const std::vector<const v1::Volume*>& volumes) {
  if (!has_pool(change.view(), host_id, pool)) return "pool " + pool.meta().name() + " is not on it";
  if (std::string obstacle = use_obstacle(pool, host_id); !obstacle.empty()) return obstacle;
  const std::uint64_t bytes = bytes_of(volumes);
  const std::uint64_t room = room_in(change, pool);
  if (bytes <= room) return {};
  return "its pool " + pool.meta().name() + " cannot promise " + model::bytes_text(bytes) + " more, only " +
         model::bytes_text(room);
}

// The one that new disks go to there; if that cannot have them, the one with most room that can.
Result<const v1::Pool*> choose_pool_there(const Change& change, const std::string& host_id, const v1::Pool* wanted,
                                          const std::vector<const v1::Volume*>& volumes) {
  const v1::Pool* first = wanted;
  if (first == nullptr) {
    const auto chosen = choose_pool(change, "", host_id);
    if (!chosen) return cannot("it has no storage pool");
    first = *chosen;
  }
  std::string obstacle = copy_obstacle(change, *first, host_id, volumes);
  if (obstacle.empty()) return first;
  const v1::Pool* best = nullptr;
  for (const std::string& id : pools_of_host(change.view(), host_id)) {
    const auto* pool = change.view().find<v1::Pool>(id);
    if (wanted != nullptr || pool == nullptr || pool->meta().has_deletion()) continue;
    if (!copy_obstacle(change, *pool, host_id, volumes).empty()) continue;
    if (best == nullptr || room_in(change, *pool) > room_in(change, *best)) best = pool;
  }
  if (best == nullptr) return cannot(std::move(obstacle));
  return best;
}

Result<void> plan_disk(const View& view, const v1::VmDisk& disk, const std::string& host_id, MoveStorage& plan) {
  const auto* volume = view.find<v1::Volume>(disk.volume());
  if (volume == nullptr) return {};
  const std::string name = "volume " + volume->meta().name();
  if (reaches(view, host_id, *volume)) {
    std::string obstacle = use_obstacle(*view.find<v1::Pool>(volume->spec().pool()), host_id);
    if (!obstacle.empty()) return cannot(std::move(obstacle));
    return {};
  }
  // Its target would have to be written to, which the guest's own disk there cannot be.
  if (disk.read_only()) return cannot("it does not reach " + name + ", and a disk that is read only is not copied");
  if (volume->status().state() != v1::VolumeStatus::READY) {
    return cannot("it does not reach " + name + ", which is not READY");
  }
  plan.copied.push_back(volume);
  return {};
}

Result<void> plan_image(const View& view, const v1::Vm& vm, const std::string& host_id, MoveStorage& plan) {
  const auto* image = view.find<v1::Image>(vm.spec().image());
  if (image == nullptr || reaches(view, host_id, pool_of_image(view, *image))) return {};
  if (image->spec().kind() == v1::ImageSpec::KERNEL) {
    return cannot("it does not reach image " + image->meta().name() +
                  ", the kernel that the guest boots: that would have to be in a shared pool");
  }
  plan.firmware = vm.spec().firmware();
  if (plan.firmware == v1::VmSpec::FROM_IMAGE)
    plan.firmware = image->spec().uefi() ? v1::VmSpec::UEFI : v1::VmSpec::BIOS;
  return {};
}

// What it keeps is taken away where no other host has it. What others have stays: so it does not leave such a pool, nor
// begin in one.
Result<void> check_tpm_goes(const Change& change, const v1::Vm& vm, const v1::Pool& pool) {
  if (model::is_in_ceph(pool.spec())) {
    return cannot("what its TPM keeps are files, which pool " + pool.meta().name() + " cannot hold: it is in Ceph");
  }
  const auto* from = change.view().find<v1::Pool>(lease_pool(change.draft, vm.spec()));
  if (from != nullptr && from->spec().shared()) {
    return cannot("what its TPM keeps is in shared pool " + from->meta().name() + ", which it does not reach");
  }
  if (!pool.spec().shared()) return {};
  return cannot("what its TPM keeps does not go from a pool of one host to shared pool " + pool.meta().name());
}

}  // namespace

Result<MoveStorage> plan_storage(const Change& change, const v1::Vm& vm, const std::string& host_id,
                                 const v1::Pool* wanted) {
  const View& view = change.view();
  MoveStorage plan;
  GANTRY_CHECK(plan_image(view, vm, host_id, plan));
  for (const v1::VmDisk& disk : vm.spec().disks()) GANTRY_CHECK(plan_disk(view, disk, host_id, plan));
  const bool keeps_lease = reaches(view, host_id, view.find<v1::Pool>(lease_pool(change.draft, vm.spec())));
  if (keeps_lease && plan.copied.empty()) return plan;
  const auto pool = choose_pool_there(change, host_id, wanted, plan.copied);
  if (!pool) return fail(pool.error());
  plan.pool = *pool;
  if (!keeps_lease && vm.spec().tpm()) GANTRY_CHECK(check_tpm_goes(change, vm, **pool));
  if (!keeps_lease) plan.lease_pool = plan.pool->meta().id();
  return plan;
}

v1::VmSpec spec_there(const v1::Vm& vm) {
  v1::VmSpec spec = vm.spec();
  const v1::VmMove& move = vm.placement().move();
  for (const v1::CopiedDisk& disk : move.disks()) put_in_place(spec, disk);
  if (!move.lease_pool().empty()) spec.set_lease_pool(move.lease_pool());
  if (move.firmware() == v1::VmSpec::FROM_IMAGE) return spec;
  spec.clear_image();
  spec.set_firmware(move.firmware());
  return spec;
}

v1::Vm seen_from(const std::string& host_id, const v1::Vm& vm) {
  v1::Vm seen = vm;
  if (moves_to(vm, host_id)) *seen.mutable_spec() = spec_there(vm);
  const v1::LeftHost* left = find_left(vm, host_id);
  if (left != nullptr && !left->lease_pool().empty()) seen.mutable_spec()->set_lease_pool(left->lease_pool());
  return seen;
}

}  // namespace gantry::control
