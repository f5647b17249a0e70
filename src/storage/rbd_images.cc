#include "storage/rbd_images.h"

#include <unistd.h>

#include "model/uid.h"
#include "storage/images.h"
#include "storage/paths.h"
#include "storage/rbd_pool.h"
#include "storage/rbd_tools.h"
#include "storage/rbd_write.h"

namespace gantry::storage::rbd {
namespace {

Result<model::RbdLocation> open(const port::ImageRequest& request) {
  if (auto id = check_id(request.image_id, "img"); !id) return fail(id.error());
  if (request.spec.kind() == v1::ImageSpec::KERNEL) {
    return fail(ErrorCode::unsupported, "image " + request.image_id + " cannot be in a pool of Ceph",
                "it is a kernel, which guests boot from a file", "make it in a pool that is a directory",
                "kernel_in_ceph");
  }
  return require_pool(request.pool);
}

// The same image on this host's own disk.
port::ImageRequest local_request(const port::ImageRequest& request, const model::RbdLocation& pool) {
  port::ImageRequest local = request;
  local.pool = local_part(pool);
  local.look_only = false;
  return local;
}

port::ImageFacts facts_of(const port::ImageRequest& request, const model::RbdLocation& pool, const ImageAnswer& image) {
  model::RbdLocation location = pool;
  location.image = request.image_id;
  port::ImageFacts facts{
      .path = model::to_text(location), .initramfs_path = {}, .virtual_size_bytes = image.size_bytes};
  const auto used = call_rbd(pool, {"du", "--format", "json", image_text(pool, request.image_id)});
  if (used) facts.allocation_bytes = parse_used_bytes(*used).value_or(0);
  return facts;
}

// Without a protected snapshot nothing can be made of it: it has its name only with one.
Result<void> complete(const model::RbdLocation& pool, const std::string& fresh, const std::string& name) {
  const std::string snapshot = image_text(pool, fresh) + "@" + kSnapshot;
  const auto made = call_rbd(pool, {"snap", "create", "--no-progress", snapshot});
  if (!made) return fail(made.error());
  const auto kept = call_rbd(pool, {"snap", "protect", snapshot});
  if (!kept) return fail(kept.error());
  return publish(pool, fresh, name);
}

Result<void> copy_into_ceph(const port::ImageRequest& request, const model::RbdLocation& pool,
                            const std::string& qcow2_path, const Job& job) {
  const std::string fresh = fresh_name(request.pool, request.image_id);
  const std::uint32_t uid = ::geteuid() == 0 ? model::guest_uid(request.image_id) : 0;
  auto done = remove_unfinished_image(pool, fresh, request.image_id);
  if (done) {
    done = write_file(pool, qcow2_path, images_directory(local_part(pool).path), uid, fresh, job);
  }
  if (done) done = complete(pool, fresh, request.image_id);
  if (!done) (void)remove_unfinished_image(pool, fresh, request.image_id);
  return done;
}

}  // namespace

Result<port::ImageFacts> import_image(const port::ImageRequest& request, const StorageOptions& options,
                                      const Job& job) {
  const auto pool = open(request);
  if (!pool) return fail(pool.error());
  const auto found = find_image(*pool, request.image_id);
  if (found) return facts_of(request, *pool, *found);
  const std::string summary = "cannot import image " + request.image_id;
  if (found.error().code != ErrorCode::not_found) return fail(explain_ceph(found.error(), summary, *pool));
  const port::ImageRequest local = local_request(request, *pool);
  const auto made = storage::import_image(local, options, job.part(0, 70));
  if (!made) return fail(made.error());
  const auto copied = copy_into_ceph(request, *pool, made->path, job.part(70, 99));
  // Another host may have been first. Otherwise what was made here is kept for another try.
  if (!copied && copied.error().code != ErrorCode::already_exists) {
    return fail(explain_ceph(copied.error(), summary, *pool));
  }
  (void)storage::delete_image(local);
  return inspect_image(request);
}

Result<port::ImageFacts> inspect_image(const port::ImageRequest& request) {
  const auto pool = open(request);
  if (!pool) return fail(pool.error());
  const auto found = find_image(*pool, request.image_id);
  if (found) {
    // A daemon that was killed as the image became complete left what it was made of.
    if (!request.look_only) (void)storage::delete_image(local_request(request, *pool));
    return facts_of(request, *pool, *found);
  }
  if (found.error().code != ErrorCode::not_found) {
    return fail(explain_ceph(found.error(), "cannot look at image " + request.image_id, *pool));
  }
  return fail(ErrorCode::not_found, "image " + request.image_id + " is missing",
              "there is no image " + image_text(*pool, request.image_id) + " in Ceph", "import it again",
              "image_missing");
}

Result<void> delete_image(const port::ImageRequest& request) {
  const auto pool = open(request);
  if (!pool) return fail(pool.error());
  if (auto removed = storage::delete_image(local_request(request, *pool)); !removed) return removed;
  auto removed = remove_all_unfinished(*pool, request.image_id);
  if (removed) removed = remove_image(*pool, request.image_id, {});
  if (removed) return {};
  return fail(explain_ceph(removed.error(), "cannot delete image " + request.image_id, *pool));
}

}  // namespace gantry::storage::rbd
