// The pool's directory itself, blocking.
#pragma once

#include <condition_variable>
#include <mutex>
#include <set>
#include <string>

#include "base/result.h"
#include "gantry/v1/storage.pb.h"
#include "port/storage.h"

namespace gantry::storage {

// The objects something is being done to now: their unfinished files are no leftovers. For workers: no lock is held
// while files are removed, which may take long, but to begin work on that very object waits for it.
class ActiveObjects {
 public:
  void begin_work(const std::string& id);
  void end_work(const std::string& id);
  // Whether what is left of that object may be removed. Ended by end_removal if so.
  [[nodiscard]] bool begin_removal(const std::string& id);
  void end_removal(const std::string& id);

 private:
  std::mutex mutex_;
  std::condition_variable removed_;
  std::multiset<std::string> worked_on_;
  std::set<std::string> being_removed_;
};

// To be asked before anything is done in a pool. Fails when that cannot be the path of one, and with pool_unusable when
// nothing of the pool is there and it is not new: its file system is not mounted, and what is made now would land on
// the one below. Of a shared pool its directory must say whose it is (pool_identity.h), new or not.
Result<void> require_pool(const port::PoolRequest& request);
// Makes volumes, images and uploads, to be passed through but not listed by guests.
Result<void> make_pool_directories(const std::string& pool_path);

// Removes what is left of unfinished work on that object in the directory, whoever did it.
Result<void> remove_unfinished(const std::string& directory, const std::string& id);

// Removes what a crash left behind, checks that the pool can be written and says how full it is. state is READY. Of a
// shared pool that is new it makes the directory the pool's.
Result<v1::PoolStatus> inspect_pool(const port::PoolRequest& request, ActiveObjects& active);

// Nobody wrote there for a day.
bool is_old(const std::string& path);

// Free for us on that file system.
Result<std::uint64_t> available_bytes(const std::string& pool_path);

}  // namespace gantry::storage
