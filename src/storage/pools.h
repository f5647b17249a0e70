// The pool's directory itself, blocking.
#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "base/result.h"
#include "gantry/v1/storage.pb.h"
#include "port/storage.h"

namespace gantry::storage {

// The objects something is being done to now: their unfinished files are no leftovers. Safe from any thread.
class ActiveObjects {
 public:
  void add(const std::string& id);
  void remove(const std::string& id);
  // Removes the path unless that object is active; nothing becomes active meanwhile.
  Result<void> remove_unless_active(const std::string& id, const std::string& path);

 private:
  std::mutex mutex_;
  std::multiset<std::string> ids_;
};

// Fails with pool_unusable when nothing of the pool is there and it is not new: its file system is not mounted, and
// what is made now would land on the one below.
Result<void> require_pool(const std::string& pool_path, bool is_new);
// Makes volumes, images and uploads, to be passed through but not listed by guests, unless require_pool fails.
Result<void> make_pool_directories(const std::string& pool_path, bool is_new);

// Removes what a crash left behind, checks that the pool can be written and says how full it is. state is READY.
Result<v1::PoolStatus> inspect_pool(const port::PoolRequest& request, ActiveObjects& active);

// Free for us on that file system.
Result<std::uint64_t> available_bytes(const std::string& pool_path);

}  // namespace gantry::storage
