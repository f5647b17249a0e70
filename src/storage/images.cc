#include "storage/images.h"

#include <unistd.h>

#include <array>

#include "model/uid.h"
#include "storage/file_ops.h"
#include "storage/image_check.h"
#include "storage/image_header.h"
#include "storage/image_sources.h"
#include "storage/kernel_bundle.h"
#include "storage/paths.h"
#include "storage/pools.h"
#include "storage/qemu_img.h"

namespace gantry::storage {
namespace {

// Every guest may read it, nobody may write it.
constexpr mode_t kImageMode = 0444;

bool is_kernel(const port::ImageRequest& request) { return request.spec.kind() == v1::ImageSpec::KERNEL; }

Result<void> check_request(const port::ImageRequest& request) {
  if (auto id = check_id(request.image_id, "img"); !id) return id;
  return require_pool(request.pool);
}

// The user that reads this image's untrusted content: a number of its own, which a VM hardly ever has too
// (model/uid.h).
std::uint32_t reader_of(const port::ImageRequest& request) {
  return ::geteuid() == 0 ? model::guest_uid(request.image_id) : 0;
}

// The file that marks the image as complete: the last one to get its name.
std::string main_path(const port::ImageRequest& request) {
  return is_kernel(request) ? kernel_path(request.pool.path, request.image_id)
                            : disk_image_path(request.pool.path, request.image_id);
}

std::string fetch_path(const port::ImageRequest& request) {
  return upload_path(request.pool.path, request.image_id) + worker_suffix(request.pool) + kFetchSuffix;
}

std::string fresh_of(const port::ImageRequest& request, const std::string& path) {
  return fresh_path(request.pool, path);
}

Error image_missing(const port::ImageRequest& request) {
  return Error{ErrorCode::not_found, "image " + request.image_id + " is missing",
               "there is no file " + main_path(request), "import it again", "image_missing"};
}

// ---- what is there

Result<port::ImageFacts> kernel_facts(const port::ImageRequest& request) {
  const std::string initramfs = initramfs_path(request.pool.path, request.image_id);
  const auto kernel_file = stat_file(main_path(request));
  const auto initramfs_file = stat_file(initramfs);
  if (!kernel_file || !initramfs_file) return fail(image_missing(request));
  return port::ImageFacts{main_path(request), initramfs, kernel_file->size_bytes + initramfs_file->size_bytes,
                          kernel_file->allocation_bytes + initramfs_file->allocation_bytes};
}

Result<port::ImageFacts> disk_facts(const port::ImageRequest& request) {
  const std::string path = main_path(request);
  const auto file = stat_file(path);
  if (!file && file.error().code == ErrorCode::not_found) return fail(image_missing(request));
  if (!file) return fail(file.error());
  const auto info = image_info({path, "qcow2"}, reader_of(request));
  if (!info && info.error().code == ErrorCode::unsupported) return fail(info.error());
  if (!info) {
    return fail(ErrorCode::corrupt, "image " + request.image_id + " cannot be read",
                info.error().cause.empty() ? info.error().summary : info.error().cause,
                "delete the image and import it again", "image_corrupt");
  }
  return port::ImageFacts{path, "", info->virtual_size_bytes, file->allocation_bytes};
}

// ---- steps of an import

Result<void> require_space(const port::ImageRequest& request, std::uint64_t bytes) {
  const auto available = available_bytes(request.pool.path);
  if (!available) return fail(available.error());
  if (bytes <= *available) return {};
  return fail(ErrorCode::out_of_space, "the image does not fit");
}

// Untrusted content to the pool's own qcow2, all of it done by an unprivileged user.
Result<void> convert_disk(const port::ImageRequest& request, const std::string& source, const std::string& fresh,
                          const Job& job) {
  const std::uint32_t uid = reader_of(request);
  const auto checked = check_image(source, uid);
  if (!checked) return fail(checked.error());
  if (auto fits = require_space(request, checked->converted_bytes); !fits) return fits;
  {
    auto made = make_file(fresh, 0600);
    if (!made) return fail(made.error());
  }
  if (auto given = set_owner(fresh, uid, 0600); !given) return given;
  const ImageFile from{source, std::string(to_string(checked->format))};
  return convert_image(from, {fresh, "qcow2"}, uid, job);
}

Result<void> split_kernel_bundle(const port::ImageRequest& request, const std::string& source, const Job& job) {
  auto file = open_file(source);
  const auto facts = stat_file(source);
  if (!file) return fail(file.error());
  if (!facts) return fail(facts.error());
  const auto bundle = find_in_kernel_bundle(
      [&](std::uint64_t offset, std::span<unsigned char> into) {
        const auto count = read_at(file->get(), offset, into);
        return count && *count == into.size();
      },
      facts->size_bytes);
  if (!bundle) return fail(bundle.error());
  if (auto fits = require_space(request, facts->size_bytes); !fits) return fits;
  const std::string initramfs = initramfs_path(request.pool.path, request.image_id);
  const auto copy = [&](const FileRange& range, const std::string& fresh, const Job& part) {
    Result<void> done = copy_range(source, range.offset, range.size_bytes, fresh, part);
    return done ? set_owner(fresh, 0, kImageMode) : done;
  };
  const std::string fresh = fresh_of(request, initramfs);
  if (auto done = copy(bundle->initramfs, fresh, job.part(0, 70)); !done) return done;
  auto named = publish_new(fresh, initramfs);
  // What an earlier attempt left is replaced, by the same or by what was sent since: without a kernel nobody uses it.
  // With one, another host was first.
  const bool is_taken = !named && named.error().code == ErrorCode::already_exists;
  if (is_taken && !file_exists(main_path(request))) named = publish(fresh, initramfs);
  if (!named) return named;
  return copy(bundle->kernel, fresh_of(request, main_path(request)), job.part(70, 100));
}

// The daemon's, and readable to the user that looks into it, who can no longer change what is checked.
Result<void> hand_to_reader(const std::string& path, std::uint32_t uid) {
  if (uid == 0) return {};
  if (::lchown(path.c_str(), 0, uid) != 0) return fail(ErrorCode::permission_denied, "cannot set the owner of " + path);
  return set_owner(path, 0, 0440);
}

// Makes the content under its fresh name from a file in its own format.
Result<void> import_file(const port::ImageRequest& request, const std::string& source, const Job& job) {
  const std::uint32_t uid = reader_of(request);
  if (auto handed = hand_to_reader(source, uid); !handed) return handed;
  if (auto same = check_sha256(source, request.spec.sha256(), job.part(0, 20)); !same) return same;
  if (is_kernel(request)) return split_kernel_bundle(request, source, job.part(20, 99));
  return convert_disk(request, source, fresh_of(request, main_path(request)), job.part(20, 99));
}

Result<void> import_upload(const port::ImageRequest& request, const Job& job) {
  const std::string source = upload_path(request.pool.path, request.image_id);
  if (!file_exists(source)) {
    return fail(ErrorCode::not_found, "image " + request.image_id + " has no content",
                "what was uploaded was refused, or is lost",
                "send it to /api/v1/images/" + request.image_id + "/content", "upload_missing");
  }
  return import_file(request, source, job);
}

Result<void> import_url(const port::ImageRequest& request, const StorageOptions& options, const Job& job) {
  const std::string source = fetch_path(request);
  Result<void> done = fetch_url(request.spec.url(), options, source, reader_of(request), job.part(0, 60));
  if (done) done = import_file(request, source, job.part(60, 99));
  return done;
}

// What programs made is looked at like what came from outside: they worked on untrusted content.
Result<void> require_plain_qcow2(const port::ImageRequest& request, const std::string& fresh) {
  if (auto handed = hand_to_reader(fresh, reader_of(request)); !handed) return handed;
  const auto checked = check_image(fresh, reader_of(request));
  if (!checked) return fail(checked.error());
  if (checked->format == ImageFormat::qcow2) return {};
  return fail(ErrorCode::corrupt, "the image cannot be used", "what was made of it is no qcow2 file");
}

// Leaves nothing of an attempt; with `all` also what was sent.
Result<void> remove_remains(const port::ImageRequest& request, bool all) {
  const std::string& pool = request.pool.path;
  const std::string& id = request.image_id;
  std::vector<std::string> gone = {fetch_path(request), fresh_of(request, disk_image_path(pool, id)),
                                   // The work directory of a recipe's program.
                                   fresh_of(request, disk_image_path(pool, id)) + ".work",
                                   fresh_of(request, kernel_path(pool, id)),
                                   fresh_of(request, initramfs_path(pool, id))};
  if (all) gone.insert(gone.end(), {upload_path(pool, id), partial_upload_path(pool, id)});
  for (const std::string& path : gone) {
    if (auto removed = remove_path(path); !removed) return removed;
  }
  return {};
}

bool blames_content(const Error& error) {
  return error.code == ErrorCode::corrupt || error.code == ErrorCode::invalid_argument ||
         (error.code == ErrorCode::unsupported && !error.reason.empty());
}

Result<void> make_content(const port::ImageRequest& request, const StorageOptions& options, const Job& job) {
  const v1::ImageSpec& spec = request.spec;
  const std::string fresh = fresh_of(request, main_path(request));
  Result<void> done = !spec.recipe().empty() ? run_recipe(request, options, fresh, job.part(0, 98))
                      : !spec.url().empty()  ? import_url(request, options, job)
                                             : import_upload(request, job);
  if (done && !is_kernel(request)) done = require_plain_qcow2(request, fresh);
  if (!done) return done;
  if (::geteuid() == 0 && ::lchown(fresh.c_str(), 0, 0) != 0) {
    return fail(ErrorCode::permission_denied, "cannot set the owner of " + fresh);
  }
  if (auto set = set_owner(fresh, 0, kImageMode); !set) return set;
  job.tell(99, "storing the image");
  return publish_new(fresh, main_path(request));
}

}  // namespace

Result<port::ImageFacts> import_image(const port::ImageRequest& request, const StorageOptions& options,
                                      const Job& job) {
  if (auto checked = check_request(request); !checked) return fail(checked.error());
  if (auto checked = check_source(request, options); !checked) return fail(checked.error());
  const std::string summary = "cannot import image " + request.image_id;
  if (auto made = make_pool_directories(request.pool.path); !made) {
    return fail(explain(made.error(), summary, request.pool.path));
  }
  if (auto removed = remove_remains(request, false); !removed) return fail(removed.error());
  Result<void> done;
  if (!file_exists(main_path(request))) done = make_content(request, options, job);
  // What was sent is kept for another try unless it is done with: a file that is refused would be refused again.
  const bool keeps = !done && !blames_content(done.error());
  if (done) return inspect_image(request);
  // Another host was first, and took away what was sent.
  const bool made_elsewhere = !request.pool.worker.empty() && file_exists(main_path(request));
  (void)remove_remains(request, !keeps && !made_elsewhere);
  if (made_elsewhere) return inspect_image(request);
  if (!done.error().reason.empty()) return fail(done.error());
  return fail(explain(done.error(), summary, request.pool.path));
}

Result<port::ImageFacts> inspect_image(const port::ImageRequest& request) {
  if (auto checked = check_request(request); !checked) return fail(checked.error());
  auto facts = is_kernel(request) ? kernel_facts(request) : disk_facts(request);
  // A daemon that was killed as the image became complete left what was sent, which nothing else would take away.
  if (facts && !request.look_only) (void)remove_remains(request, true);
  return facts;
}

Result<void> delete_image(const port::ImageRequest& request) {
  if (auto checked = check_request(request); !checked) return checked;
  const std::string& pool = request.pool.path;
  const std::string& id = request.image_id;
  if (!request.pool.worker.empty()) {
    // First: a host that is lost may still be making it, and without its files it cannot finish once the image is gone.
    for (const std::string& directory : {images_directory(pool), uploads_directory(pool)}) {
      if (auto removed = remove_unfinished(directory, id); !removed) return removed;
    }
  }
  // Before the others the file that says "complete".
  for (const std::string& path : {disk_image_path(pool, id), kernel_path(pool, id), initramfs_path(pool, id)}) {
    if (auto removed = remove_path(path); !removed) return removed;
  }
  if (auto removed = remove_remains(request, true); !removed) return removed;
  auto synced = sync_directory(images_directory(pool));
  if (!synced && synced.error().code == ErrorCode::not_found) return {};
  return synced;
}

}  // namespace gantry::storage
