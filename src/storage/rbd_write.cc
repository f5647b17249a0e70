#include "storage/rbd_write.h"

#include "storage/file_ops.h"
#include "storage/paths.h"
#include "storage/qemu_img.h"
#include "storage/rbd_pool.h"
#include "storage/rbd_tools.h"

namespace gantry::storage::rbd {
namespace {

// An exclusive lock, so that a client that was taken for dead cannot write any more, and a map of what is there, so
// that what an image takes is told at once. Written out: a cluster may have other defaults.
constexpr char kFeatures[] = "layering,exclusive-lock,object-map,fast-diff,deep-flatten";

std::string bytes(std::uint64_t size) { return std::to_string(size) + "B"; }

Result<void> done(const Result<std::string>& answer) {
  if (!answer) return fail(answer.error());
  return {};
}

Result<void> convert(const std::string& qcow2_path, const std::string& raw_path, std::uint32_t uid, const Job& job) {
  {
    auto made = make_file(raw_path, 0600);
    if (!made) return fail(made.error());
  }
  if (auto given = set_owner(raw_path, uid, 0600); !given) return given;
  return convert_image({qcow2_path, "qcow2"}, {raw_path, "raw"}, uid, job);
}

}  // namespace

Result<void> create_blank(const model::RbdLocation& pool, const std::string& name, std::uint64_t size_bytes) {
  return done(
      call_rbd(pool, {"create", "--size", bytes(size_bytes), "--image-feature", kFeatures, image_text(pool, name)}));
}

Result<void> clone_image(const model::RbdLocation& pool, const std::string& image, const std::string& name) {
  return done(call_rbd(pool, {"clone", "--image-feature", kFeatures, image_text(pool, image) + "@" + kSnapshot,
                              image_text(pool, name)}));
}

Result<void> grow(const model::RbdLocation& pool, const std::string& name, std::uint64_t size_bytes) {
  return done(call_rbd(pool, {"resize", "--no-progress", "--size", bytes(size_bytes), image_text(pool, name)}));
}

Result<void> write_file(const model::RbdLocation& pool, const std::string& qcow2_path, const std::string& directory,
                        std::uint32_t uid, const std::string& name, const Job& job) {
  const std::string raw_path = directory + "/" + name + ".raw" + kFreshSuffix;
  auto written = convert(qcow2_path, raw_path, uid, job.part(0, 50));
  if (!written) written = fail(explain(written.error(), "cannot copy " + qcow2_path, directory));
  job.tell(50, "writing to Ceph");
  if (written) {
    written = done(call_rbd_at_length(
        pool, {"import", "--no-progress", "--image-feature", kFeatures, raw_path, image_text(pool, name)}, job));
  }
  (void)remove_path(raw_path);
  return written;
}

}  // namespace gantry::storage::rbd
