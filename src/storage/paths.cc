#include "storage/paths.h"

#include <algorithm>
#include <filesystem>

#include "base/id.h"

namespace gantry::storage {

std::string volumes_directory(const std::string& pool_path) { return pool_path + "/volumes"; }
std::string images_directory(const std::string& pool_path) { return pool_path + "/images"; }
std::string uploads_directory(const std::string& pool_path) { return pool_path + "/uploads"; }

std::string volume_path(const std::string& pool_path, const std::string& volume_id, v1::VolumeSpec::Format format) {
  return volumes_directory(pool_path) + "/" + volume_id + (format == v1::VolumeSpec::RAW ? ".raw" : ".qcow2");
}

std::string disk_image_path(const std::string& pool_path, const std::string& image_id) {
  return images_directory(pool_path) + "/" + image_id + ".qcow2";
}

std::string kernel_path(const std::string& pool_path, const std::string& image_id) {
  return images_directory(pool_path) + "/" + image_id + ".kernel";
}

std::string initramfs_path(const std::string& pool_path, const std::string& image_id) {
  return images_directory(pool_path) + "/" + image_id + ".initramfs";
}

std::string upload_path(const std::string& pool_path, const std::string& image_id) {
  return uploads_directory(pool_path) + "/" + image_id;
}

std::string partial_upload_path(const std::string& pool_path, const std::string& image_id) {
  return upload_path(pool_path, image_id) + ".part";
}

std::string fresh_path(const std::string& path) { return path + kFreshSuffix; }

std::string worker_suffix(const port::PoolRequest& pool) {
  return pool.worker.empty() ? std::string() : "." + pool.worker;
}

std::string fresh_path(const port::PoolRequest& pool, const std::string& path) {
  return path + worker_suffix(pool) + kFreshSuffix;
}

std::string identity_path(const std::string& pool_path) { return pool_path + "/.gantry-pool"; }

Result<void> check_pool_path(const std::string& pool_path) {
  const std::filesystem::path path(pool_path);
  const bool climbs = std::any_of(path.begin(), path.end(), [](const auto& part) { return part == ".."; });
  if (!path.is_absolute() || climbs || path.lexically_normal() == "/" || pool_path.find('\0') != std::string::npos) {
    return fail(ErrorCode::invalid_argument, "\"" + pool_path + "\" cannot be a pool",
                "a pool is an absolute directory other than / and without ..");
  }
  return {};
}

Result<void> check_id(const std::string& id, const char* prefix) {
  if (is_id(id, prefix)) return {};
  return fail(ErrorCode::invalid_argument, "\"" + id + "\" is not an id",
              "ids of this kind begin with " + std::string(prefix) + "-");
}

}  // namespace gantry::storage
