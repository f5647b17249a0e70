#include <algorithm>

#include "host/core.h"
#include "model/pool_drivers.h"
#include "model/rbd_location.h"
#include "model/uid.h"

namespace gantry::host {
namespace {
// The reason of src/storage for a pool that is not there.
constexpr char kPoolUnusable[] = "pool_unusable";
constexpr Milliseconds kReleaseAgainMs = 5'000;

bool is_copy_for(const v1::Vm& vm, const std::string& volume_id) {
  return vm.placement().has_disk_move() && vm.placement().disk_move().disk().copy() == volume_id;
}

bool has_disk(const v1::Vm& vm, const std::string& volume_id) {
  return std::ranges::any_of(vm.spec().disks(), [&](const v1::VmDisk& disk) { return disk.volume() == volume_id; });
}
}  // namespace

const PoolObject* Core::find_pool(const std::string& id) const {
  const auto pool = table_.pools.find(id);
  return pool == table_.pools.end() ? nullptr : &pool->second;
}

void Core::pool_changed(const std::string& pool_id) {
  const auto pool = table_.pools.find(pool_id);
  if (pool != table_.pools.end()) pool->second.memory.inspect_soon = true;
}

// ---- pools

void Core::tend_pools() {
  std::set<std::string> removed;
  for (auto& [id, pool] : table_.pools) {
    const std::string& pool_id = id;
    if (pool.under_way != PoolStep::none) continue;
    if (pool.wanted.meta().has_deletion()) {
      if (let_go(pool_id, pool)) removed.insert(id);
      continue;
    }
    const Milliseconds at_ms = next_inspection_ms(pool.memory, now());
    if (at_ms <= now().monotonic_ms) {
      inspect_pool(id, pool);
    } else {
      wake_at(at_ms);
    }
  }
  for (const std::string& id : removed) pool_gone(id);
}

void Core::pool_gone(const std::string& id) {
  table_.pools.erase(id);
  table_.bury(id);
  gone_.emplace(id, 0);
}

bool Core::let_go(const std::string& id, PoolObject& pool) {
  const auto lies_in = [&id](const auto& entry) { return entry.second.wanted.spec().pool() == id; };
  if (std::ranges::any_of(table_.volumes, lies_in) || std::ranges::any_of(table_.images, lies_in)) return false;
  if (!pool.wanted.spec().shared()) return true;
  const Milliseconds at_ms = pool.memory.release_not_before_ms;
  if (at_ms > now().monotonic_ms) {
    wake_at(at_ms);
    return false;
  }
  pool.under_way = PoolStep::release;
  ports_.storage.release_pool(pool_request(id), alive([id](Core& core, const Result<void>& result) {
                                core.touch();
                                if (result) return core.pool_gone(id);
                                PoolObject& object = core.table_.pools.at(id);
                                object.under_way = PoolStep::none;
                                object.memory.release_not_before_ms = core.now().monotonic_ms + kReleaseAgainMs;
                                core.log("cannot give up pool " + id + ": " + result.error().to_text());
                              }));
  return false;
}

std::string Core::place_of(const v1::Pool& pool) const {
  const v1::PoolSpec& spec = pool.spec();
  if (!model::is_in_ceph(spec)) return spec.path();
  return model::to_text({.user = spec.rbd().user(),
                         .pool = spec.rbd().pool(),
                         .name_space = spec.rbd().namespace_(),
                         .image = {},
                         .configuration = options_.ceph_directory + "/" + pool.meta().id() + ".conf"});
}

port::PoolRequest Core::pool_request(const std::string& id) const {
  const PoolObject* pool = find_pool(id);
  if (pool == nullptr) return {};
  // What says whether it is new must outlive the agent and lie outside the pool: the manager's record, and what it was
  // told since.
  const bool was_told = pool->memory.told && was_ready(*pool->memory.told);
  port::PoolRequest request{.path = place_of(pool->wanted), .is_new = !was_ready(pool->wanted.status()) && !was_told};
  if (!pool->wanted.spec().shared()) return request;
  request.shared_id = id;
  request.worker = options_.host_id;
  request.rbd = pool->wanted.spec().rbd();
  return request;
}

bool Core::is_shared(const std::string& pool_id) const {
  const PoolObject* pool = find_pool(pool_id);
  return pool != nullptr && pool->wanted.spec().shared();
}

Error Core::not_seen(std::string_view what, const std::string& path, const char* reason) {
  return Error{
      ErrorCode::unavailable, "the file of " + std::string(what) + " is missing",
      path + " was there before and is not seen here",
      "put the file back and start its VM again, or delete the record; if other hosts see it, compare how this one "
      "mounts the pool",
      reason};
}

// Whatever was given up for want of the pool is tried again.
void Core::pool_is_back(const std::string& pool_id) {
  const auto heal = [&pool_id](auto& objects) {
    for (auto& [id, object] : objects) {
      MaybeTrouble& trouble = object.memory.trouble;
      if (object.wanted.spec().pool() == pool_id && trouble && trouble->problem.code() == kPoolUnusable) {
        trouble.reset();
      }
    }
  };
  heal(table_.volumes);
  heal(table_.images);
}

void Core::inspect_pool(const std::string& id, PoolObject& pool) {
  pool.under_way = PoolStep::inspect;
  pool.memory.inspect_soon = false;
  ports_.storage.inspect_pool(pool_request(id), alive([id](Core& core, const Result<v1::PoolStatus>& result) {
                                core.pool_inspected(id, result);
                              }));
}

void Core::pool_inspected(const std::string& id, const Result<v1::PoolStatus>& result) {
  PoolObject& pool = table_.pools.at(id);
  pool.under_way = PoolStep::none;
  PoolMemory& memory = pool.memory;
  memory.inspected_at_ms = now().monotonic_ms;
  v1::PoolStatus found;
  if (result) {
    if (memory.told && memory.told->state() == v1::PoolStatus::FAILED) pool_is_back(id);
    found = *result;
    found.set_state(v1::PoolStatus::READY);
  } else {
    found = memory.told ? *memory.told : pool.wanted.status();
    found.clear_observed();
    found.clear_hosts();
    found.set_state(v1::PoolStatus::FAILED);
    *found.mutable_problem() = to_problem(result.error(), now());
  }
  if (!memory.told || differs_noticeably(*memory.told, found)) memory.told = found;
  touch();
}

v1::PoolStatus Core::pool_status(const std::string& id, const PoolObject& pool) const {
  v1::PoolStatus status = *pool.memory.told;
  std::uint64_t promised_bytes = 0;
  for (const auto& [volume_id, volume] : table_.volumes) {
    if (volume.wanted.spec().pool() == id) promised_bytes += volume.wanted.spec().capacity_bytes();
  }
  status.set_promised_bytes(promised_bytes);
  return status;
}

// ---- volumes

std::string Core::volume_user(const std::string& volume_id) const {
  return user_of([&](const v1::Vm& vm) {
    return has_disk(vm, volume_id) || (is_copy_for(vm, volume_id) && is_copying(vm.meta().id()));
  });
}

// What a guest has open that leaves is not on its record any more.
std::string Core::leaving_guest() const {
  for (const auto& [id, vm] : table_.vms) {
    const bool leaves = role_of(vm.wanted, options_.host_id) == VmRole::leaving;
    if (leaves && is_live(guest_of(id))) return quoted_name("VM", vm.wanted);
  }
  return "";
}

// Of the VM that has it open, or else of one that wants to run, or else of one that has it, or of its owner.
std::uint32_t Core::volume_uid(const VolumeObject& volume) const {
  const std::string& volume_id = volume.wanted.meta().id();
  std::string chosen = volume.wanted.spec().owner_vm_id();
  int best = 0;
  for (const auto& [id, vm] : table_.vms) {
    if (!has_disk(vm.wanted, volume_id) && !is_copy_for(vm.wanted, volume_id)) continue;
    const int rank = may_run(id, vm) ? 3 : waits_to_run(id, vm) ? 2 : 1;
    if (rank > best) {
      best = rank;
      chosen = id;
    }
  }
  return chosen.empty() ? 0 : model::guest_uid(chosen);
}

port::VolumeRequest Core::request_of(const VolumeObject& volume) const {
  const v1::VolumeSpec& spec = volume.wanted.spec();
  port::VolumeRequest request;
  request.volume_id = volume.wanted.meta().id();
  request.pool = pool_request(spec.pool());
  request.format = spec.format();
  request.capacity_bytes = spec.capacity_bytes();
  const auto image = table_.images.find(spec.image());
  if (image != table_.images.end()) request.image_path = image->second.memory.facts.path;
  request.uid = volume.look_only ? 0 : volume_uid(volume);
  return request;
}

VolumeInput Core::volume_input(const VolumeObject& volume) const {
  const v1::VolumeSpec& spec = volume.wanted.spec();
  VolumeInput input{.wanted = volume.wanted,
                    .memory = volume.memory,
                    .under_way = volume.under_way,
                    .pool_known = find_pool(spec.pool()) != nullptr,
                    .look_only = volume.look_only,
                    .waiting_for = {},
                    .needs_problem = {},
                    .in_use_by = volume_user(volume.wanted.meta().id()),
                    .uid = volume_uid(volume),
                    .now = now()};
  if (volume.wanted.meta().has_deletion() && input.in_use_by.empty()) input.in_use_by = leaving_guest();
  if (spec.image().empty()) return input;
  const auto image = table_.images.find(spec.image());
  if (image == table_.images.end()) {
    input.waiting_for = "its image";
  } else if (image->second.memory.presence != Presence::present || image->second.wanted.meta().has_deletion()) {
    // One that is to be deleted may be so at any moment: nothing new comes to stand on it.
    input.waiting_for = quoted_name("image", image->second.wanted);
    input.needs_problem = lasting_problem(image->second);
  }
  return input;
}

void Core::tend_volumes() {
  for (auto& [id, volume] : table_.volumes) {
    const VolumePlan plan = plan_volume(volume_input(volume));
    wake_at(plan.wake_at_ms);
    carry_out(id, volume, plan);
  }
}

void Core::volume_missed(VolumeObject& volume) {
  VolumeMemory& memory = volume.memory;
  memory.missed_at_ms = now().monotonic_ms;
  const bool was_made = memory.was_present || was_ready(volume.wanted);
  if (!was_made || volume.look_only || !is_shared(volume.wanted.spec().pool())) {
    memory.presence = Presence::absent;
    return;
  }
  const std::string& path = volume.wanted.status().path();
  const Error error = not_seen(quoted_name("volume", volume.wanted), path, "volume_missing");
  note_failure(memory.trouble, error, "", now());
}

port::VolumeDone Core::volume_done(const std::string& id, VolumeStep step, std::uint32_t uid) {
  return alive([id, step, uid](Core& core, const Result<port::VolumeFacts>& result) {
    const auto found = core.table_.volumes.find(id);
    // A creation cut short by a deletion is answered too; the deletion's own answer counts then.
    if (found == core.table_.volumes.end() || found->second.under_way != step) return;
    VolumeObject& volume = found->second;
    VolumeMemory& memory = volume.memory;
    volume.under_way = VolumeStep::none;
    memory.progress.Clear();
    core.touch();
    if (result) {
      memory.presence = Presence::present;
      memory.was_present = true;
      memory.facts = *result;
      memory.uid = uid;
      memory.trouble.reset();
      if (step == VolumeStep::resize) memory.growth_trouble.reset();
      if (step != VolumeStep::inspect) core.pool_changed(volume.wanted.spec().pool());
    } else if (step == VolumeStep::inspect && result.error().code == ErrorCode::not_found) {
      core.volume_missed(volume);
    } else {
      note_failure(step == VolumeStep::resize ? memory.growth_trouble : memory.trouble, result.error(), "", core.now(),
                   volume.look_only ? Tries::endless : Tries::some);
    }
  });
}

void Core::carry_out(const std::string& id, VolumeObject& volume, const VolumePlan& plan) {
  if (plan.step == VolumeStep::none) return;
  if (plan.step == VolumeStep::fail) {
    volume.memory.trouble = Trouble{.problem = plan.problem, .definite = true, .operation_id = {}};
    return;
  }
  volume.under_way = plan.step;
  const port::VolumeRequest request = request_of(volume);
  const auto done = volume_done(id, plan.step, request.uid);
  if (plan.step == VolumeStep::inspect) {
    ports_.storage.inspect_volume(request, done);
  } else if (plan.step == VolumeStep::create) {
    const auto progress = alive([id](Core& core, const v1::Progress& step_progress) {
      const auto object = core.table_.volumes.find(id);
      if (object == core.table_.volumes.end()) return;
      object->second.memory.progress = step_progress;
      core.touch();
    });
    ports_.storage.create_volume(request, progress, done);
  } else if (plan.step == VolumeStep::resize) {
    ports_.storage.resize_volume(request, done);
  } else {
    volume.memory.progress.Clear();
    const std::string task_id = volume.wanted.meta().deletion().task_id();
    ports_.storage.delete_volume(request, alive([id, task_id](Core& core, const Result<void>& result) {
                                   VolumeObject& object = core.table_.volumes.at(id);
                                   object.under_way = VolumeStep::none;
                                   core.touch();
                                   if (!result) {
                                     note_failure(object.memory.trouble, result.error(), task_id, core.now());
                                     return;
                                   }
                                   core.pool_changed(object.wanted.spec().pool());
                                   core.table_.volumes.erase(id);
                                   core.table_.bury(id);
                                   core.gone_.emplace(id, 0);
                                 }));
  }
}

// ---- images

port::ImageRequest Core::request_of(const ImageObject& image) const {
  port::ImageRequest request;
  request.image_id = image.wanted.meta().id();
  request.spec = image.wanted.spec();
  request.pool = pool_request(image.wanted.spec().pool());
  request.look_only = image.look_only;
  return request;
}

ImageInput Core::image_input(const ImageObject& image) const {
  ImageInput input{.wanted = image.wanted,
                   .memory = image.memory,
                   .under_way = image.under_way,
                   .pool_known = find_pool(image.wanted.spec().pool()) != nullptr,
                   .look_only = image.look_only,
                   .in_use_by = {},
                   .now = now()};
  if (!image.wanted.meta().has_deletion()) return input;
  for (const auto& [id, volume] : table_.volumes) {
    if (volume.wanted.spec().image() == image.wanted.meta().id()) {
      input.in_use_by = quoted_name("volume", volume.wanted);
    }
  }
  if (!assignments_known_) input.in_use_by = "every volume on it to be known, and for those";
  if (input.in_use_by.empty() && image.wanted.spec().kind() == v1::ImageSpec::KERNEL) {
    input.in_use_by = user_of([&image](const v1::Vm& vm) { return vm.spec().image() == image.wanted.meta().id(); });
  }
  return input;
}

void Core::tend_images() {
  for (auto& [id, image] : table_.images) {
    const ImagePlan plan = plan_image(image_input(image));
    wake_at(plan.wake_at_ms);
    carry_out(id, image, plan);
  }
}

void Core::image_missed(ImageObject& image) {
  ImageMemory& memory = image.memory;
  memory.missed_at_ms = now().monotonic_ms;
  const std::string& path = image.wanted.status().path();
  if (path.empty() || image.look_only || !is_shared(image.wanted.spec().pool())) {
    memory.presence = Presence::absent;
    return;
  }
  note_failure(memory.trouble, not_seen(quoted_name("image", image.wanted), path, "image_missing"), "", now());
}

port::ImageDone Core::image_done(const std::string& id, ImageStep step) {
  return alive([id, step](Core& core, const Result<port::ImageFacts>& result) {
    const auto found = core.table_.images.find(id);
    if (found == core.table_.images.end()) return;
    ImageObject& image = found->second;
    ImageMemory& memory = image.memory;
    // An import cut short by a deletion is answered too; the deletion's own answer counts then.
    if (image.under_way == step) image.under_way = ImageStep::none;
    memory.progress.Clear();
    core.touch();
    if (image.wanted.meta().has_deletion() && step == ImageStep::import) return;
    if (result) {
      memory.presence = Presence::present;
      memory.facts = *result;
      memory.trouble.reset();
      if (step == ImageStep::import) core.pool_changed(image.wanted.spec().pool());
      return;
    }
    if (step == ImageStep::inspect && result.error().code == ErrorCode::not_found) return core.image_missed(image);
    note_failure(memory.trouble, result.error(), "", core.now(), image.look_only ? Tries::endless : Tries::some);
  });
}

void Core::carry_out(const std::string& id, ImageObject& image, const ImagePlan& plan) {
  if (plan.step == ImageStep::none) return;
  if (plan.step == ImageStep::fail) {
    image.memory.trouble = Trouble{.problem = plan.problem, .definite = true, .operation_id = {}};
    return;
  }
  image.under_way = plan.step;
  const port::ImageRequest request = request_of(image);
  if (plan.step == ImageStep::inspect) {
    ports_.storage.inspect_image(request, image_done(id, plan.step));
  } else if (plan.step == ImageStep::import) {
    const auto progress = alive([id](Core& core, const v1::Progress& step_progress) {
      const auto object = core.table_.images.find(id);
      if (object == core.table_.images.end()) return;
      object->second.memory.progress = step_progress;
      core.touch();
    });
    ports_.storage.import_image(request, progress, image_done(id, plan.step));
  } else {
    const std::string task_id = image.wanted.meta().deletion().task_id();
    ports_.storage.delete_image(request, alive([id, task_id](Core& core, const Result<void>& result) {
                                  ImageObject& object = core.table_.images.at(id);
                                  object.under_way = ImageStep::none;
                                  core.touch();
                                  if (!result) {
                                    note_failure(object.memory.trouble, result.error(), task_id, core.now());
                                    return;
                                  }
                                  core.pool_changed(object.wanted.spec().pool());
                                  core.table_.images.erase(id);
                                  core.table_.bury(id);
                                  core.gone_.emplace(id, 0);
                                }));
  }
}

}  // namespace gantry::host
