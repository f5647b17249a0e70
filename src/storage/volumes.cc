#include "storage/volumes.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include "model/limits.h"
#include "model/uid.h"
#include "runtime/files.h"
#include "storage/file_ops.h"
#include "storage/image_header.h"
#include "storage/paths.h"
#include "storage/pools.h"
#include "storage/qemu_img.h"

namespace gantry::storage {
namespace {

constexpr std::uint64_t kSectorBytes = 512;

std::string format_of(const port::VolumeRequest& request) {
  return request.format == v1::VolumeSpec::RAW ? "raw" : "qcow2";
}

std::string path_of(const port::VolumeRequest& request) {
  return volume_path(request.pool.path, request.volume_id, request.format);
}

Result<void> check_request(const port::VolumeRequest& request) {
  if (auto id = check_id(request.volume_id, "vol"); !id) return id;
  if (auto pool = require_pool(request.pool); !pool) return pool;
  if (request.capacity_bytes > model::kVolumeBytesMax) {
    return fail(ErrorCode::invalid_argument, "volume " + request.volume_id + " cannot be that large",
                "the most is 64 TiB", "ask for less", "capacity_out_of_range");
  }
  return {};
}

// Images are Gantry's own qcow2 files.
Result<std::uint64_t> image_size(const port::VolumeRequest& request) {
  auto file = open_file(request.image_path);
  if (!file) {
    Error error = file.error();
    if (error.code == ErrorCode::not_found) error.reason = "image_missing";
    error.next_step = "import the image again";
    return fail(error);
  }
  std::array<unsigned char, kHeaderBytes> head{};
  auto count = read_at(file->get(), 0, head);
  if (!count) return fail(count.error());
  const auto header = probe_image_header(std::span<const unsigned char>(head).first(*count), {});
  if (!header || !header->virtual_size_bytes) {
    return fail(ErrorCode::corrupt, "cannot read the image " + request.image_path, "it is no qcow2 file",
                "delete the image and import it again", "image_corrupt");
  }
  return *header->virtual_size_bytes;
}

// What the volume is to hold: as asked, rounded up to whole sectors; the image's size when nothing was asked.
Result<std::uint64_t> decide_capacity(const port::VolumeRequest& request) {
  const std::uint64_t asked = (request.capacity_bytes + kSectorBytes - 1) / kSectorBytes * kSectorBytes;
  if (request.image_path.empty()) {
    if (asked != 0) return asked;
    return fail(ErrorCode::invalid_argument, "volume " + request.volume_id + " has no size",
                "a volume without an image needs one", "give it a capacity", "capacity_out_of_range");
  }
  const auto size = image_size(request);
  if (!size) return fail(size.error());
  if (asked != 0 && asked < *size) {
    return fail(ErrorCode::invalid_argument, "volume " + request.volume_id + " is smaller than its image",
                "the image holds " + std::to_string(*size) + " bytes, " + std::to_string(asked) + " were asked for",
                "ask for at least the image's size", "capacity_out_of_range");
  }
  return std::max(asked, *size);
}

Result<void> grow_file(const std::string& path, std::uint64_t size_bytes) {
  if (::truncate(path.c_str(), static_cast<off_t>(size_bytes)) != 0) {
    return fail(runtime::errno_error("cannot set the size of " + path, errno));
  }
  return {};
}

// Whose file a new volume is, who also looks into its image: its guest, or a number of its own until it has one.
std::uint32_t owner_of(const port::VolumeRequest& request) {
  if (::geteuid() != 0) return 0;
  return request.uid != 0 ? request.uid : model::guest_uid(request.volume_id);
}

// Makes the whole file under its fresh name. What the image holds came from outside, converted or not: no qemu-img of
// root opens it.
Result<void> fill(const port::VolumeRequest& request, const std::string& fresh, std::uint64_t capacity_bytes,
                  const Job& job) {
  const std::uint32_t owner = owner_of(request);
  if (auto made = make_file(fresh, 0600); !made) return fail(made.error());
  if (auto given = set_owner(fresh, owner, 0600); !given) return given;
  const ImageFile image{request.image_path, request.image_path.empty() ? "" : "qcow2"};
  if (request.format == v1::VolumeSpec::QCOW2) {
    if (auto created = create_qcow2(fresh, capacity_bytes, image, owner); !created) return created;
  } else {
    if (!image.path.empty()) {
      if (auto copied = convert_image(image, {fresh, "raw"}, owner, job); !copied) return copied;
    }
    if (auto grown = grow_file(fresh, capacity_bytes); !grown) return grown;
  }
  return {};
}

Error volume_missing(const port::VolumeRequest& request) {
  return Error{ErrorCode::not_found, "volume " + request.volume_id + " is missing",
               "there is no file " + path_of(request), "bring the file back, or delete the volume", "volume_missing"};
}

// The volume's file, given to who may open it.
Result<FileFacts> find_file(const port::VolumeRequest& request) {
  auto file = stat_file(path_of(request));
  if (!file && file.error().code == ErrorCode::not_found) return fail(volume_missing(request));
  if (!file || request.uid == 0 || file->owner_uid == request.uid) return file;
  if (auto given = set_owner(path_of(request), request.uid, 0600); !given) return fail(given.error());
  file->owner_uid = request.uid;
  return file;
}

// Who qemu-img runs as on that file.
std::uint32_t reader_of(const FileFacts& file) { return ::geteuid() == 0 ? file.owner_uid : 0; }

Error volume_corrupt(const port::VolumeRequest& request, const Error& why) {
  return Error{ErrorCode::corrupt, "volume " + request.volume_id + " cannot be read",
               why.cause.empty() ? why.summary : why.cause,
               "look at it with qemu-img check " + path_of(request) + ", or restore it from a backup", "image_corrupt"};
}

// A guest that took its QEMU over may have written what it likes into its volume's header. An image that is not known
// (yet) is known by its name.
bool may_be_made_on(const port::VolumeRequest& request, const std::string& backing_file) {
  if (backing_file.empty()) return true;
  if (!request.image_path.empty()) return backing_file == request.image_path;
  const std::filesystem::path path(backing_file);
  return path.extension() == ".qcow2" && check_id(path.stem().string(), "img").has_value() &&
         path.parent_path().filename() == "images" && path.lexically_normal() == path;
}

// Not every failure to look is the file's: a busy machine or a slow file system is no reason to fetch a backup.
bool tells_of_damage(const Error& error) {
  return error.code == ErrorCode::corrupt || error.code == ErrorCode::internal;  // the latter: qemu-img gave up
}

// The image under a volume, whose name was checked.
Result<void> check_backing(const port::VolumeRequest& request, const std::string& path, std::uint32_t uid) {
  const std::string summary = "volume " + request.volume_id + " cannot be read";
  if (!file_exists(path)) {
    const std::string pool_path = std::filesystem::path(path).parent_path().parent_path();
    if (auto there = require_pool({.path = pool_path, .is_new = false}); !there) return there;
    return fail(ErrorCode::corrupt, summary, "the image it is made on, " + path + ", is missing",
                "bring that file back", "image_missing");
  }
  const auto info = image_info({path, "qcow2"}, uid);
  if (info && !info->corrupt) return {};
  if (!info && !tells_of_damage(info.error())) return fail(info.error());
  const std::string why = info                         ? "QEMU found it damaged and marked it so"
                          : info.error().cause.empty() ? info.error().summary
                                                       : info.error().cause;
  return fail(ErrorCode::corrupt, summary, "the image it is made on, " + path + ", is damaged: " + why,
              "bring that file back as it was, from a backup", "image_corrupt");
}

}  // namespace

Result<port::VolumeFacts> create_volume(const port::VolumeRequest& request, const Job& job) {
  if (auto checked = check_request(request); !checked) return fail(checked.error());
  const std::string path = path_of(request);
  if (file_exists(path)) return inspect_volume(request);
  const std::string summary = "cannot make volume " + request.volume_id;
  if (auto made = make_pool_directories(request.pool.path); !made) {
    return fail(explain(made.error(), summary, request.pool.path));
  }
  const auto capacity = decide_capacity(request);
  if (!capacity) return fail(capacity.error());
  const std::string fresh = fresh_path(request.pool, path);
  // It may be a second name of a file that was made whole.
  Result<void> done = remove_path(fresh);
  if (done) done = fill(request, fresh, *capacity, job);
  if (done) done = publish_new(fresh, path);
  if (!done) {
    (void)remove_path(fresh);
    // Another host was first.
    if (done.error().code == ErrorCode::already_exists) return inspect_volume(request);
    return fail(explain(done.error(), summary, request.pool.path));
  }
  const auto file = stat_file(path);
  if (!file) return fail(file.error());
  return port::VolumeFacts{path, *capacity, file->allocation_bytes};
}

Result<port::VolumeFacts> inspect_volume(const port::VolumeRequest& request) {
  if (auto checked = check_request(request); !checked) return fail(checked.error());
  const auto file = find_file(request);
  if (!file) return fail(file.error());
  const std::string path = path_of(request);
  if (request.format == v1::VolumeSpec::RAW) {
    return port::VolumeFacts{path, file->size_bytes, file->allocation_bytes};
  }
  const auto info = image_info({path, format_of(request)}, reader_of(*file));
  if (!info && !tells_of_damage(info.error())) return fail(info.error());
  if (!info) return fail(volume_corrupt(request, info.error()));
  if (info->corrupt) {
    return fail(volume_corrupt(request, Error{ErrorCode::corrupt, "QEMU found it damaged and marked it so"}));
  }
  if (!info->data_file.empty() || !may_be_made_on(request, info->backing_file)) {
    const std::string& other = info->data_file.empty() ? info->backing_file : info->data_file;
    return fail(
        volume_corrupt(request, Error{ErrorCode::corrupt, "it refers to another file than its image: " + other}));
  }
  if (!info->backing_file.empty()) {
    if (auto sound = check_backing(request, info->backing_file, reader_of(*file)); !sound) return fail(sound.error());
  }
  return port::VolumeFacts{path, info->virtual_size_bytes, info->allocation_bytes};
}

Result<port::VolumeFacts> resize_volume(const port::VolumeRequest& request) {
  auto now = inspect_volume(request);
  if (!now) return now;
  const std::uint64_t wanted = (request.capacity_bytes + kSectorBytes - 1) / kSectorBytes * kSectorBytes;
  if (wanted == now->capacity_bytes) return now;
  if (wanted < now->capacity_bytes) {
    return fail(ErrorCode::invalid_argument, "volume " + request.volume_id + " cannot be made smaller",
                "it holds " + std::to_string(now->capacity_bytes) + " bytes", "make a smaller volume and copy to it",
                "capacity_out_of_range");
  }
  const auto before = stat_file(now->path);
  if (!before) return fail(before.error());
  if (auto resized = resize_image({now->path, format_of(request)}, wanted, reader_of(*before)); !resized) {
    return fail(explain(resized.error(), "cannot grow volume " + request.volume_id, request.pool.path));
  }
  auto file = open_file(now->path);
  if (!file || ::fsync(file->get()) != 0) {
    return fail(runtime::errno_error("cannot sync " + now->path, errno));
  }
  return inspect_volume(request);
}

Result<void> delete_volume(const port::VolumeRequest& request) {
  if (auto checked = check_request(request); !checked) return checked;
  const std::string path = path_of(request);
  const std::string directory = volumes_directory(request.pool.path);
  if (!request.pool.worker.empty()) {
    // First: a host that is lost may still be making it, and without its file it cannot finish once the volume is gone.
    if (auto removed = remove_unfinished(directory, request.volume_id); !removed) return removed;
  }
  for (const std::string& gone : {fresh_path(request.pool, path), path}) {
    if (auto removed = remove_path(gone); !removed) return removed;
  }
  auto synced = sync_directory(directory);
  if (!synced && synced.error().code == ErrorCode::not_found) return {};
  return synced;
}

}  // namespace gantry::storage
