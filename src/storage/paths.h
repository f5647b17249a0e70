// Where everything lies in a pool of the driver `dir`:
//   .gantry-pool              of a pool that several hosts have: whose directory this is
//   volumes/VOLUME_ID.qcow2 or .raw
//   images/IMAGE_ID.qcow2, or IMAGE_ID.kernel and IMAGE_ID.initramfs
//   uploads/IMAGE_ID          what a client sent; gone once imported
// What is not finished has a further ".new" or ".fetch" (or begins with such a name) and is removed by the next sweep;
// in a pool that several hosts have, the host that makes it stands before that: VOLUME_ID.qcow2.HOST_ID.new
// Ids are checked before any of these is called: they become file names.
#pragma once

#include <string>

#include "base/result.h"
#include "gantry/v1/storage.pb.h"
#include "port/storage.h"

namespace gantry::storage {

inline constexpr char kFreshSuffix[] = ".new";
inline constexpr char kFetchSuffix[] = ".fetch";

std::string volumes_directory(const std::string& pool_path);
std::string images_directory(const std::string& pool_path);
std::string uploads_directory(const std::string& pool_path);

std::string volume_path(const std::string& pool_path, const std::string& volume_id, v1::VolumeSpec::Format format);
std::string disk_image_path(const std::string& pool_path, const std::string& image_id);
std::string kernel_path(const std::string& pool_path, const std::string& image_id);
std::string initramfs_path(const std::string& pool_path, const std::string& image_id);

// Where the server puts the content a client sends for an image: written under this name with ".part" behind it,
// synced, renamed to this name. For a DISK image any file that qemu-img reads; for a KERNEL image an uncompressed tar
// file with the entries "kernel" and "initramfs".
std::string upload_path(const std::string& pool_path, const std::string& image_id);
// Its ".part".
std::string partial_upload_path(const std::string& pool_path, const std::string& image_id);

std::string fresh_path(const std::string& path);
// Of a file in that pool: with the name of the host that makes it, where there are several.
std::string fresh_path(const port::PoolRequest& pool, const std::string& path);
// The end of the names of what this host, and nobody else, has not finished; empty where it is alone.
std::string worker_suffix(const port::PoolRequest& pool);
std::string identity_path(const std::string& pool_path);

// An absolute path without "..", and not the root.
Result<void> check_pool_path(const std::string& pool_path);
// `prefix`: "vol", "img", "vm".
Result<void> check_id(const std::string& id, const char* prefix);

}  // namespace gantry::storage
