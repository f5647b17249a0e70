#include "sim/shared_files.h"

namespace gantry::sim {
namespace {
constexpr std::uint64_t kGib = 1U << 30U;
}  // namespace

Result<void> SharedFiles::require(const port::PoolRequest& request) const {
  const auto owner = owners_.find(request.path);
  if (owner != owners_.end() && owner->second == request.shared_id) return {};
  return fail(ErrorCode::unavailable, "the directory is not the pool's", "", "", "pool_unusable");
}

void SharedFiles::check_keeper(const std::string& id, const port::PoolRequest& request, const char* deed) {
  if (records_.was_keeper(id, request.worker)) return;
  trace_.violation(id + " is " + deed + " by " + request.worker + ", which never kept it");
}

void SharedFiles::note_late(const std::string& id, const std::string& worker) {
  const auto volume = records_.volumes.find(id);
  const auto image = records_.images.find(id);
  const bool keeps = (volume != records_.volumes.end() && volume->second.keeper().host_id() == worker) ||
                     (image != records_.images.end() && image->second.keeper().host_id() == worker);
  if (!keeps && records_.is_to_be_deleted(id)) came_late.insert(id);
}

Result<v1::PoolStatus> SharedFiles::inspect_pool(const port::PoolRequest& request) {
  const auto owner = owners_.find(request.path);
  if (owner == owners_.end() && request.is_new) {
    owners_[request.path] = request.shared_id;
    trace_.note("disk", request.path + " becomes shared pool " + request.shared_id);
  }
  if (auto usable = require(request); !usable) return fail(usable.error());
  const std::uint64_t used_gib = volumes.size() + 2 * images.size();
  const std::uint64_t all_gib = swarm_.shared_pool_gib;
  v1::PoolStatus status;
  status.set_capacity_bytes(all_gib * kGib);
  status.set_available_bytes(used_gib > all_gib ? 0 : (all_gib - used_gib) * kGib);
  status.set_allocation_bytes(used_gib * kGib);
  return status;
}

Result<void> SharedFiles::release_pool(const port::PoolRequest& request) {
  if (!require(request)) return {};
  if (!records_.is_to_be_deleted(request.shared_id)) {
    trace_.violation("shared pool " + request.shared_id + " is given up, and nobody asked for it");
  }
  owners_.erase(request.path);
  return {};
}

// ---- volumes

Result<port::VolumeFacts> SharedFiles::inspect_volume(const port::VolumeRequest& request) {
  if (auto usable = require(request.pool); !usable) return fail(usable.error());
  const auto volume = volumes.find(request.volume_id);
  if (volume == volumes.end()) return fail(ErrorCode::not_found, "no file of volume " + request.volume_id);
  if (request.uid != 0 && request.uid != volume->second.uid) {
    check_keeper(request.volume_id, request.pool, "given to another user");
    volume->second.uid = request.uid;
  }
  return port::VolumeFacts{.path = request.pool.path + "/" + request.volume_id,
                           .capacity_bytes = volume->second.capacity_bytes,
                           .allocation_bytes = kGib};
}

Result<port::VolumeFacts> SharedFiles::create_volume(const port::VolumeRequest& request) {
  if (auto usable = require(request.pool); !usable) return fail(usable.error());
  if (volumes.contains(request.volume_id)) return inspect_volume(request);
  if (!request.image_path.empty() && !images.contains(request.image_path)) {
    return fail(ErrorCode::not_found, "no image at " + request.image_path);
  }
  if (!calm && volumes.size() + 2 * images.size() + 1 > swarm_.shared_pool_gib) {
    return fail(ErrorCode::out_of_space, "the pool is full", "", "", "pool_full");
  }
  check_keeper(request.volume_id, request.pool, "made");
  note_late(request.volume_id, request.pool.worker);
  volumes[request.volume_id] = {
      .capacity_bytes = request.capacity_bytes, .image_path = request.image_path, .uid = request.uid};
  trace_.note("disk", "shared volume " + request.volume_id + " made by " + request.pool.worker);
  return inspect_volume(request);
}

Result<port::VolumeFacts> SharedFiles::resize_volume(const port::VolumeRequest& request) {
  if (auto usable = require(request.pool); !usable) return fail(usable.error());
  const auto volume = volumes.find(request.volume_id);
  if (volume == volumes.end()) return inspect_volume(request);
  check_keeper(request.volume_id, request.pool, "resized");
  if (const std::string user = user_of(request.volume_id); !user.empty()) {
    trace_.violation("volume " + request.volume_id + " is resized while " + user + " has it open");
  }
  if (request.capacity_bytes < volume->second.capacity_bytes) {
    trace_.violation("volume " + request.volume_id + " is made smaller");
  }
  volume->second.capacity_bytes = request.capacity_bytes;
  trace_.note("disk", "shared volume " + request.volume_id + " resized by " + request.pool.worker);
  return inspect_volume(request);
}

Result<void> SharedFiles::delete_volume(const port::VolumeRequest& request) {
  if (auto usable = require(request.pool); !usable) return usable;
  const std::string& id = request.volume_id;
  if (!volumes.contains(id)) return {};
  check_keeper(id, request.pool, "deleted");
  if (const std::string user = user_of(id); !user.empty()) {
    trace_.violation("volume " + id + " is deleted while " + user + " has it open");
  }
  if (!records_.is_to_be_deleted(id)) trace_.violation("volume " + id + " is deleted, and nobody asked for it");
  volumes.erase(id);
  trace_.note("disk", "shared volume " + id + " deleted by " + request.pool.worker);
  return {};
}

// ---- images

Result<port::ImageFacts> SharedFiles::inspect_image(const port::ImageRequest& request) {
  if (auto usable = require(request.pool); !usable) return fail(usable.error());
  const std::string path = request.pool.path + "/" + request.image_id;
  if (!images.contains(path)) return fail(ErrorCode::not_found, "no image " + request.image_id);
  return port::ImageFacts{.path = path,
                          .initramfs_path = request.spec.kind() == v1::ImageSpec::KERNEL ? path + ".initramfs" : "",
                          .virtual_size_bytes = kGib,
                          .allocation_bytes = kGib};
}

Result<port::ImageFacts> SharedFiles::import_image(const port::ImageRequest& request) {
  if (auto usable = require(request.pool); !usable) return fail(usable.error());
  check_keeper(request.image_id, request.pool, "imported");
  note_late(request.image_id, request.pool.worker);
  if (images.insert(request.pool.path + "/" + request.image_id).second) {
    trace_.note("disk", "shared image " + request.image_id + " made by " + request.pool.worker);
  }
  return inspect_image(request);
}

Result<void> SharedFiles::delete_image(const port::ImageRequest& request) {
  if (auto usable = require(request.pool); !usable) return usable;
  const std::string& id = request.image_id;
  const std::string path = request.pool.path + "/" + id;
  if (images.erase(path) == 0) return {};
  check_keeper(id, request.pool, "deleted");
  for (const auto& [volume_id, volume] : volumes) {
    if (volume.image_path == path) trace_.violation("image " + id + " is deleted under volume " + volume_id);
  }
  if (!records_.is_to_be_deleted(id)) trace_.violation("image " + id + " is deleted, and nobody asked for it");
  trace_.note("disk", "shared image " + id + " deleted by " + request.pool.worker);
  return {};
}

}  // namespace gantry::sim
