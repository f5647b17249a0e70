#include "storage/rbd_volumes.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "model/limits.h"
#include "model/uid.h"
#include "storage/file_ops.h"
#include "storage/paths.h"
#include "storage/pools.h"
#include "storage/qemu_img.h"
#include "storage/rbd_pool.h"
#include "storage/rbd_tools.h"
#include "storage/rbd_write.h"

namespace gantry::storage::rbd {
namespace {

constexpr std::uint64_t kSectorBytes = 512;

std::uint64_t whole_sectors(std::uint64_t bytes) { return (bytes + kSectorBytes - 1) / kSectorBytes * kSectorBytes; }

Result<model::RbdLocation> open(const port::VolumeRequest& request) {
  if (auto id = check_id(request.volume_id, "vol"); !id) return fail(id.error());
  if (request.capacity_bytes > model::kVolumeBytesMax) {
    return fail(ErrorCode::invalid_argument, "volume " + request.volume_id + " cannot be that large",
                "the most is 64 TiB", "ask for less", "capacity_out_of_range");
  }
  return require_pool(request.pool);
}

// Who reads an image file's content.
std::uint32_t reader_of(const port::VolumeRequest& request) {
  return ::geteuid() == 0 ? model::guest_uid(request.volume_id) : 0;
}

Error image_missing(const Error& why) {
  Error error = why;
  error.reason = "image_missing";
  error.next_step = "import the image again";
  return error;
}

// What the volume's image holds. `clone`: it is one of this pool.
Result<std::uint64_t> image_size(const port::VolumeRequest& request, const model::RbdLocation& pool,
                                 const std::optional<model::RbdLocation>& clone) {
  if (!clone) {
    const auto info = image_info({request.image_path, "qcow2"}, reader_of(request));
    if (!info) return fail(info.error());
    return info->virtual_size_bytes;
  }
  model::RbdLocation its_pool = *clone;
  its_pool.image.clear();
  if (its_pool != pool) {
    return fail(ErrorCode::unsupported, "cannot make volume " + request.volume_id,
                "its image is in another pool of Ceph", "make the image in the volume's pool too");
  }
  const auto image = find_image(pool, clone->image);
  if (!image && image.error().code == ErrorCode::not_found) return fail(image_missing(image.error()));
  if (!image) return fail(image.error());
  return image->size_bytes;
}

Result<std::uint64_t> decide_capacity(const port::VolumeRequest& request, std::uint64_t image_bytes) {
  const std::uint64_t asked = whole_sectors(request.capacity_bytes);
  if (asked == 0 && image_bytes == 0) {
    return fail(ErrorCode::invalid_argument, "volume " + request.volume_id + " has no size",
                "a volume without an image needs one", "give it a capacity", "capacity_out_of_range");
  }
  if (asked != 0 && asked < image_bytes) {
    return fail(
        ErrorCode::invalid_argument, "volume " + request.volume_id + " is smaller than its image",
        "the image holds " + std::to_string(image_bytes) + " bytes, " + std::to_string(asked) + " were asked for",
        "ask for at least the image's size", "capacity_out_of_range");
  }
  return std::max(asked, image_bytes);
}

// Makes the whole under its fresh name.
Result<void> fill(const port::VolumeRequest& request, const model::RbdLocation& pool, const std::string& fresh,
                  const Job& job) {
  if (request.image_path.empty()) {
    const auto capacity = decide_capacity(request, 0);
    if (!capacity) return fail(capacity.error());
    return create_blank(pool, fresh, *capacity);
  }
  const auto clone = model::rbd_location(request.image_path);
  const auto image_bytes = image_size(request, pool, clone);
  if (!image_bytes) return fail(image_bytes.error());
  const auto capacity = decide_capacity(request, *image_bytes);
  if (!capacity) return fail(capacity.error());
  Result<void> made;
  if (clone) {
    made = clone_image(pool, clone->image, fresh);
  } else {
    const std::string local = local_part(pool).path;
    if (auto there = make_pool_directories(local); !there) return there;
    made = write_file(pool, request.image_path, volumes_directory(local), reader_of(request), fresh, job);
  }
  if (made && *capacity > *image_bytes) made = grow(pool, fresh, *capacity);
  return made;
}

Result<port::VolumeFacts> facts_of(const port::VolumeRequest& request, const model::RbdLocation& pool,
                                   const ImageAnswer& image) {
  model::RbdLocation location = pool;
  location.image = request.volume_id;
  port::VolumeFacts facts{.path = model::to_text(location), .capacity_bytes = image.size_bytes};
  // Merely shown: a volume serves its guest though this cannot be told.
  const auto used = call_rbd(pool, {"du", "--format", "json", image_text(pool, request.volume_id)});
  if (used) facts.allocation_bytes = parse_used_bytes(*used).value_or(0);
  return facts;
}

}  // namespace

Result<port::VolumeFacts> create_volume(const port::VolumeRequest& request, const Job& job) {
  const auto pool = open(request);
  if (!pool) return fail(pool.error());
  const auto found = find_image(*pool, request.volume_id);
  if (found) return facts_of(request, *pool, *found);
  const std::string summary = "cannot make volume " + request.volume_id;
  if (found.error().code != ErrorCode::not_found) return fail(explain_ceph(found.error(), summary, *pool));
  const std::string fresh = fresh_name(request.pool, request.volume_id);
  auto done = remove_unfinished_image(*pool, fresh, request.volume_id);
  if (done) done = fill(request, *pool, fresh, job);
  if (done) done = publish(*pool, fresh, request.volume_id);
  if (!done) {
    (void)remove_unfinished_image(*pool, fresh, request.volume_id);
    // Another host was first.
    if (done.error().code != ErrorCode::already_exists) return fail(explain_ceph(done.error(), summary, *pool));
  }
  return inspect_volume(request);
}

Result<port::VolumeFacts> inspect_volume(const port::VolumeRequest& request) {
  const auto pool = open(request);
  if (!pool) return fail(pool.error());
  const auto found = find_image(*pool, request.volume_id);
  if (found) return facts_of(request, *pool, *found);
  if (found.error().code != ErrorCode::not_found) {
    return fail(explain_ceph(found.error(), "cannot look at volume " + request.volume_id, *pool));
  }
  return fail(ErrorCode::not_found, "volume " + request.volume_id + " is missing",
              "there is no image " + image_text(*pool, request.volume_id) + " in Ceph",
              "bring the image back, or delete the volume", "volume_missing");
}

Result<port::VolumeFacts> resize_volume(const port::VolumeRequest& request) {
  auto now = inspect_volume(request);
  if (!now) return now;
  const std::uint64_t wanted = whole_sectors(request.capacity_bytes);
  if (wanted == now->capacity_bytes) return now;
  if (wanted < now->capacity_bytes) {
    return fail(ErrorCode::invalid_argument, "volume " + request.volume_id + " cannot be made smaller",
                "it holds " + std::to_string(now->capacity_bytes) + " bytes", "make a smaller volume and copy to it",
                "capacity_out_of_range");
  }
  const auto pool = open(request);
  if (!pool) return fail(pool.error());
  if (auto grown = grow(*pool, request.volume_id, wanted); !grown) {
    return fail(explain_ceph(grown.error(), "cannot grow volume " + request.volume_id, *pool));
  }
  return inspect_volume(request);
}

Result<void> delete_volume(const port::VolumeRequest& request, const Job& job) {
  const auto pool = open(request);
  if (!pool) return fail(pool.error());
  const std::string summary = "cannot delete volume " + request.volume_id;
  // First: a host that is lost may still be making it, and without that it cannot finish once the volume is gone.
  auto removed = remove_all_unfinished(*pool, request.volume_id);
  if (removed) removed = remove_image(*pool, request.volume_id, job);
  if (!removed) return fail(explain_ceph(removed.error(), summary, *pool));
  return {};
}

}  // namespace gantry::storage::rbd
