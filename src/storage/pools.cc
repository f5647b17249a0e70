#include "storage/pools.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <system_error>
#include <vector>

#include "model/uid.h"
#include "runtime/clock.h"
#include "runtime/files.h"
#include "storage/file_ops.h"
#include "storage/paths.h"
#include "storage/pool_identity.h"
#include "storage/qemu_img.h"

namespace gantry::storage {
namespace {

namespace fs = std::filesystem;

constexpr mode_t kPassableMode = 0711;

// Calls `use` for each name in a directory; one that is not there has none.
Result<void> for_each_name(const std::string& directory, const std::function<Result<void>(const std::string&)>& use) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return fail(runtime::errno_error("cannot list " + directory, error.value()));
  }
  for (const std::string& name : names) {
    if (auto used = use(name); !used) return used;
  }
  return {};
}

bool is_unfinished(const std::string& name) {
  return name.find(kFreshSuffix) != std::string::npos || name.find(kFetchSuffix) != std::string::npos;
}

// What another host has not finished is left to it, unless it was lost long ago.
bool is_leftover(const port::PoolRequest& pool, const std::string& directory, const std::string& name) {
  if (!is_unfinished(name)) return false;
  const std::string suffix = worker_suffix(pool);
  const bool own =
      name.find(suffix + kFreshSuffix) != std::string::npos || name.find(suffix + kFetchSuffix) != std::string::npos;
  return own || is_old(directory + "/" + name);
}

// Of an upload that a crash of the server ended: one that goes on is written again and again. What came whole was
// acknowledged, and waits for its import however long the machine was off.
bool is_stale_upload(const std::string& path) {
  return fs::path(path).parent_path().filename() == "uploads" && path.ends_with(".part") && is_old(path);
}

Result<void> sweep(const port::PoolRequest& pool, const std::string& directory, ActiveObjects& active) {
  return for_each_name(directory, [&](const std::string& name) -> Result<void> {
    if (!is_leftover(pool, directory, name) && !is_stale_upload(directory + "/" + name)) return {};
    const std::string id = name.substr(0, name.find('.'));
    if (!active.begin_removal(id)) return {};
    auto removed = remove_path(directory + "/" + name);
    active.end_removal(id);
    return removed;
  });
}

Result<void> add_up(const std::string& directory, v1::PoolStatus& status) {
  return for_each_name(directory, [&](const std::string& name) -> Result<void> {
    // They come and go meanwhile: what cannot be read counts nothing.
    const auto file = stat_file(directory + "/" + name);
    if (file) status.set_allocation_bytes(status.allocation_bytes() + file->allocation_bytes);
    return {};
  });
}

// Disks belong to their guests' users: where root may not give files away, none can be made.
Result<void> check_ownership(const port::PoolRequest& request, const std::string& probe) {
  if (request.shared_id.empty() || ::geteuid() != 0) return {};
  auto given = set_owner(probe, model::guest_uid(request.shared_id), 0600);
  if (given) return {};
  Error error = given.error();
  error.next_step = "let root of this host be root on that file system: for NFS, export it with no_root_squash";
  return fail(std::move(error));
}

Result<void> check_writable(const port::PoolRequest& request) {
  const std::string probe = request.path + "/.write-check" + worker_suffix(request);
  auto file = make_file(probe, 0600);
  Result<void> checked = file ? check_ownership(request, probe) : Result<void>(fail(file.error()));
  (void)remove_path(probe);
  return checked;
}

Result<struct statvfs> file_system_of(const std::string& pool_path) {
  struct statvfs facts {};
  if (::statvfs(pool_path.c_str(), &facts) != 0) {
    return fail(runtime::errno_error("cannot see how full " + pool_path + " is", errno));
  }
  return facts;
}

Error unusable(Error error, const std::string& pool_path) {
  error = explain(std::move(error), "cannot use the pool at " + pool_path, pool_path);
  if (error.reason.empty()) error.reason = "pool_unusable";
  if (error.next_step.empty()) error.next_step = "see that the directory can be made and written, or use another";
  return error;
}

Result<void> prepare(const port::PoolRequest& request, ActiveObjects& active) {
  const std::string& pool_path = request.path;
  if (auto made = make_pool_directories(pool_path); !made) return made;
  for (const std::string& directory :
       {volumes_directory(pool_path), images_directory(pool_path), uploads_directory(pool_path)}) {
    if (auto swept = sweep(request, directory, active); !swept) return swept;
  }
  return check_writable(request);
}

Result<void> check_shared(const port::PoolRequest& request) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789-";
  if (auto id = check_id(request.shared_id, "pool"); !id) return id;
  if (!request.worker.empty() && request.worker.find_first_not_of(kLetters) == std::string::npos) return {};
  return fail(ErrorCode::invalid_argument, "\"" + request.worker + "\" is not the id of a host");
}

// The directory is as it should be before anything is made in it.
Result<void> require_directory(const port::PoolRequest& request) {
  if (request.shared_id.empty()) {
    if (auto there = require_pool(request); !there) return there;
    const auto identity = read_identity(request.path);
    if (!identity) return fail(identity.error());
    if (!*identity) return {};
    return fail(ErrorCode::unavailable, "cannot use the pool at " + request.path,
                "it is the directory of a shared pool, " + **identity, "give another directory", "pool_unusable");
  }
  if (auto checked = check_pool_path(request.path); !checked) return checked;
  if (auto checked = check_shared(request); !checked) return checked;
  const auto identity = read_identity(request.path);
  std::error_code error;
  if (request.is_new && identity && !*identity && fs::is_directory(request.path, error))
    return require_vacant(request.path);
  return check_identity(request);
}

}  // namespace

bool is_old(const std::string& path) {
  constexpr std::int64_t kDaySeconds = 24LL * 60 * 60;
  struct stat facts {};
  return ::lstat(path.c_str(), &facts) == 0 && facts.st_mtim.tv_sec + kDaySeconds < runtime::real_now().unix_ms / 1000;
}

void ActiveObjects::begin_work(const std::string& id) {
  std::unique_lock lock(mutex_);
  removed_.wait(lock, [&] { return !being_removed_.contains(id); });
  worked_on_.insert(id);
}

void ActiveObjects::end_work(const std::string& id) {
  const std::lock_guard lock(mutex_);
  if (const auto found = worked_on_.find(id); found != worked_on_.end()) worked_on_.erase(found);
}

bool ActiveObjects::begin_removal(const std::string& id) {
  const std::lock_guard lock(mutex_);
  return !worked_on_.contains(id) && being_removed_.insert(id).second;
}

void ActiveObjects::end_removal(const std::string& id) {
  const std::lock_guard lock(mutex_);
  being_removed_.erase(id);
  removed_.notify_all();
}

Result<void> require_pool(const port::PoolRequest& request) {
  const std::string& pool_path = request.path;
  if (auto checked = check_pool_path(pool_path); !checked) return checked;
  if (!request.shared_id.empty()) {
    if (auto checked = check_shared(request); !checked) return checked;
    return check_identity(request);
  }
  std::error_code error;
  const auto is_there = [&error](const std::string& directory) { return fs::is_directory(directory, error); };
  if (request.is_new || is_there(volumes_directory(pool_path)) || is_there(images_directory(pool_path))) return {};
  const bool missing = !error || error == std::errc::no_such_file_or_directory;
  const std::string directory = volumes_directory(pool_path);
  return fail(ErrorCode::unavailable, "cannot use the pool at " + pool_path,
              missing ? "there is no " + directory + ": its file system is not mounted, or what it held was removed"
                      : "cannot see " + directory + ": " + error.message(),
              "mount its file system; if what it held is lost for good, make the directory " + directory,
              "pool_unusable");
}

Result<void> make_pool_directories(const std::string& pool_path) {
  if (auto made = runtime::make_directories(pool_path, kPassableMode); !made) return made;
  for (const std::string& directory :
       {volumes_directory(pool_path), images_directory(pool_path), uploads_directory(pool_path)}) {
    if (auto made = runtime::make_directories(directory, kPassableMode); !made) return made;
  }
  return {};
}

Result<void> remove_unfinished(const std::string& directory, const std::string& id) {
  return for_each_name(directory, [&](const std::string& name) -> Result<void> {
    if (!name.starts_with(id + ".") || !is_unfinished(name)) return {};
    return remove_path(directory + "/" + name);
  });
}

Result<std::uint64_t> available_bytes(const std::string& pool_path) {
  const auto facts = file_system_of(pool_path);
  if (!facts) return fail(facts.error());
  return static_cast<std::uint64_t>(facts->f_bavail) * facts->f_frsize;
}

Result<v1::PoolStatus> inspect_pool(const port::PoolRequest& request, ActiveObjects& active) {
  const std::string& pool_path = request.path;
  if (auto there = require_directory(request); !there) return fail(there.error());
  if (auto prepared = prepare(request, active); !prepared) return fail(unusable(prepared.error(), pool_path));
  // Last, so that a host that cannot use the directory does not claim it.
  if (!request.shared_id.empty() && request.is_new) {
    const auto identity = read_identity(pool_path);
    if (!identity) return fail(identity.error());
    if (!*identity) {
      if (auto made = make_identity(request); !made) return fail(unusable(made.error(), pool_path));
    }
  }
  const auto facts = file_system_of(pool_path);
  if (!facts) return fail(unusable(facts.error(), pool_path));
  v1::PoolStatus status;
  status.set_state(v1::PoolStatus::READY);
  // Some file systems do not say, and a pool without any passes for one that was never ready.
  status.set_capacity_bytes(std::max<std::uint64_t>(std::uint64_t{facts->f_blocks} * facts->f_frsize, 1));
  status.set_available_bytes(static_cast<std::uint64_t>(facts->f_bavail) * facts->f_frsize);
  for (const std::string& directory :
       {volumes_directory(pool_path), images_directory(pool_path), uploads_directory(pool_path)}) {
    if (auto added = add_up(directory, status); !added) return fail(unusable(added.error(), pool_path));
  }
  return status;
}

}  // namespace gantry::storage
