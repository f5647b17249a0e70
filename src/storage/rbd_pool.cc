#include "storage/rbd_pool.h"

#include <algorithm>
#include <filesystem>
#include <mutex>
#include <utility>

#include "model/ceph_client.h"
#include "runtime/files.h"
#include "storage/file_ops.h"
#include "storage/paths.h"
#include "storage/rbd_identity.h"
#include "storage/rbd_tools.h"

namespace gantry::storage::rbd {
namespace {

namespace fs = std::filesystem;

constexpr mode_t kPassableMode = 0711;
constexpr mode_t kSecretMode = 0600;
constexpr std::string_view kSuffix = ".conf";

std::string beside(const model::RbdLocation& pool, std::string_view suffix) {
  return pool.configuration.substr(0, pool.configuration.size() - kSuffix.size()) + std::string(suffix);
}

std::string key_ring_path(const model::RbdLocation& pool) { return beside(pool, ".keyring"); }

Result<model::RbdLocation> check_request(const port::PoolRequest& request) {
  const auto location = model::rbd_location(request.path);
  if (!location || !location->configuration.ends_with(kSuffix) || !location->image.empty()) {
    return fail(ErrorCode::invalid_argument, "\"" + request.path + "\" is no pool of Ceph");
  }
  if (auto checked = check_id(request.shared_id, "pool"); !checked) return fail(checked.error());
  if (auto checked = check_id(request.worker, "host"); !checked) return fail(checked.error());
  return *location;
}

// As it is to be; what is so already is not written again. The sentinel may read it at any time.
Result<void> keep_file(const std::string& path, const std::string& content) {
  // Calls for several things in one pool come at once.
  static std::mutex writing;
  const std::lock_guard lock(writing);
  const auto before = runtime::read_file(path, 1U << 20U);
  if (before && *before == content) return {};
  return runtime::write_file_durably(path, content, kSecretMode);
}

Result<void> keep_configuration(const port::PoolRequest& request, const model::RbdLocation& pool) {
  const std::string directory = fs::path(pool.configuration).parent_path();
  if (auto made = runtime::make_directories(directory, kPassableMode); !made) return made;
  const std::string key_ring = key_ring_path(pool);
  if (auto kept = keep_file(key_ring, model::ceph_key_ring(request.rbd)); !kept) return kept;
  return keep_file(pool.configuration, model::ceph_configuration(request.rbd, key_ring));
}

Result<std::vector<std::string>> list_images(const model::RbdLocation& pool) {
  const auto answer = call_rbd(pool, {"ls", "--format", "json", place_text(pool)});
  if (!answer) return fail(answer.error());
  return parse_names(*answer);
}

bool is_unfinished(const std::string& name) { return name.ends_with(kFreshSuffix); }

// "vol-1.host-1.new": "vol-1".
std::string object_of(const std::string& name) { return name.substr(0, name.find('.')); }

// What a crash of this host left. One that is still open is tried again, and keeps no other; the pool is none the worse
// for it.
void sweep(const port::PoolRequest& request, const model::RbdLocation& pool, const std::vector<std::string>& names,
           ActiveObjects& active) {
  for (const std::string& name : names) {
    const std::string id = object_of(name);
    if (name != fresh_name(request, id) || !active.begin_removal(id)) continue;
    const auto removed = remove_unfinished_image(pool, name, id);
    active.end_removal(id);
    if (!removed && removed.error().code != ErrorCode::conflict) return;
  }
}

// An image that was on its way into Ceph and is not any more: its keeper is another host, or it was deleted.
void sweep_local(const model::RbdLocation& pool, ActiveObjects& active) {
  std::error_code error;
  const std::string directory = images_directory(local_part(pool).path);
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    const std::string path = entry->path();
    const std::string id = object_of(entry->path().filename());
    if (!is_old(path) || !active.begin_removal(id)) continue;
    // What cannot be removed merely takes room, and is tried again.
    (void)remove_path(path);
    active.end_removal(id);
  }
}

Result<void> require_empty(const model::RbdLocation& pool, const std::vector<std::string>& names) {
  if (names.empty()) return {};
  return fail(unusable_pool(pool,
                            "there are images in it already (" + names.front() + "), and nothing says whose they are",
                            "give an empty pool, or a namespace: rbd namespace create " + pool.pool + "/gantry"));
}

Result<void> make_pool(const port::PoolRequest& request, const model::RbdLocation& pool) {
  const auto identity = read_identity(pool);
  if (!identity) return fail(identity.error());
  if (*identity == request.shared_id) return {};
  if (!identity->empty()) return check_identity(request, pool);
  const auto names = list_images(pool);
  if (!names) return fail(names.error());
  if (auto empty = require_empty(pool, *names); !empty) return empty;
  return make_identity(request, pool);
}

Result<void> remove_snapshot(const model::RbdLocation& pool, const std::string& snapshot, bool is_protected) {
  if (is_protected) {
    const auto unprotected = call_rbd(pool, {"snap", "unprotect", snapshot});
    if (!unprotected) return fail(unprotected.error());
  }
  const auto removed = call_rbd(pool, {"snap", "rm", "--no-progress", snapshot});
  if (!removed && removed.error().code != ErrorCode::not_found) return fail(removed.error());
  return {};
}

Result<v1::PoolStatus> status_of(const model::RbdLocation& pool) {
  const auto answer = call_ceph(pool, {"df", "--format", "json"});
  if (!answer) return fail(answer.error());
  const auto facts = parse_pool(*answer, pool.pool);
  if (!facts) return fail(facts.error());
  v1::PoolStatus status;
  status.set_state(v1::PoolStatus::READY);
  status.set_capacity_bytes(std::max<std::uint64_t>(facts->stored_bytes + facts->available_bytes, 1));
  status.set_available_bytes(facts->available_bytes);
  status.set_allocation_bytes(facts->stored_bytes);
  return status;
}

}  // namespace

port::PoolRequest local_part(const model::RbdLocation& pool) { return {.path = beside(pool, ""), .is_new = true}; }

port::PoolRequest local_part(const std::string& pool_id, const std::string& directory) {
  return {.path = directory + "/" + pool_id, .is_new = true};
}

std::string fresh_name(const port::PoolRequest& request, const std::string& name) {
  return name + worker_suffix(request) + kFreshSuffix;
}

Result<model::RbdLocation> require_pool(const port::PoolRequest& request) {
  auto pool = check_request(request);
  if (!pool) return pool;
  if (auto kept = keep_configuration(request, *pool); !kept) return fail(kept.error());
  if (auto checked = check_identity(request, *pool); !checked) return fail(checked.error());
  return pool;
}

Result<v1::PoolStatus> inspect_pool(const port::PoolRequest& request, ActiveObjects& active) {
  const auto pool = check_request(request);
  if (!pool) return fail(pool.error());
  if (auto kept = keep_configuration(request, *pool); !kept) return fail(kept.error());
  if (auto able = check_qemu(); !able) return fail(able.error());
  auto is_ours = request.is_new ? make_pool(request, *pool) : check_identity(request, *pool);
  if (!is_ours) return fail(is_ours.error());
  const auto names = list_images(*pool);
  if (!names) return fail(names.error());
  sweep(request, *pool, *names, active);
  sweep_local(*pool, active);
  return status_of(*pool);
}

Result<void> release_pool(const port::PoolRequest& request) {
  const auto pool = check_request(request);
  if (!pool) return fail(pool.error());
  if (auto kept = keep_configuration(request, *pool); !kept) return kept;
  auto removed = remove_identity(request, *pool);
  // Whoever uses what is left there sees whose it was.
  if (!removed && removed.error().reason != "pool_unusable") return removed;
  for (const std::string& path : {local_part(*pool).path, pool->configuration, key_ring_path(*pool)}) {
    if (auto gone = remove_path(path); !gone) return gone;
  }
  return {};
}

Result<ImageAnswer> find_image(const model::RbdLocation& pool, const std::string& name) {
  const auto answer = call_rbd(pool, {"info", "--format", "json", image_text(pool, name)});
  if (!answer) return fail(answer.error());
  return parse_image(*answer);
}

// A renaming that was cut short may have left both names: then it is done, but for a name that nobody needs.
Result<void> publish(const model::RbdLocation& pool, const std::string& fresh, const std::string& name) {
  const auto renamed = call_rbd(pool, {"rename", image_text(pool, fresh), image_text(pool, name)});
  if (!renamed) return fail(renamed.error());
  return {};
}

Result<void> remove_unfinished_image(const model::RbdLocation& pool, const std::string& fresh,
                                     const std::string& name) {
  const auto unfinished = find_image(pool, fresh);
  if (!unfinished && unfinished.error().code == ErrorCode::not_found) return {};
  if (!unfinished) return fail(unfinished.error());
  const auto finished = find_image(pool, name);
  if (!finished && finished.error().code != ErrorCode::not_found) return fail(finished.error());
  if (finished && finished->id == unfinished->id) return {};
  return remove_image(pool, fresh, {});
}

Result<void> remove_all_unfinished(const model::RbdLocation& pool, const std::string& name) {
  const auto names = list_images(pool);
  if (!names) return fail(names.error());
  for (const std::string& other : *names) {
    if (!is_unfinished(other) || object_of(other) != name) continue;
    if (auto removed = remove_unfinished_image(pool, other, name); !removed) return removed;
  }
  return {};
}

Result<void> remove_image(const model::RbdLocation& pool, const std::string& name, const Job& job) {
  const std::string image = image_text(pool, name);
  const auto found = call_rbd(pool, {"snap", "ls", "--format", "json", image});
  if (!found && found.error().code == ErrorCode::not_found) return {};
  if (!found) return fail(found.error());
  const auto snapshots = parse_snapshots(*found);
  if (!snapshots) return fail(snapshots.error());
  for (const SnapshotAnswer& snapshot : *snapshots) {
    if (auto removed = remove_snapshot(pool, image + "@" + snapshot.name, snapshot.is_protected); !removed) {
      return removed;
    }
  }
  const auto removed = call_rbd_at_length(pool, {"rm", "--no-progress", image}, job);
  if (!removed && removed.error().code != ErrorCode::not_found) return fail(removed.error());
  return {};
}

}  // namespace gantry::storage::rbd
