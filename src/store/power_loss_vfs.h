// A disk in memory for SQLite that fails where a test says: one operation, everything from an operation on (the power
// is cut), or whatever needs more room than there is. What was written but not synced when the power is cut is kept,
// lost or torn, each write by the toss of a seed. https://sqlite.org/vfs.html
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/rng.h"

namespace gantry::store {

class PowerLossDisk {
 public:
  enum class Fault {
    none,
    fails_once,      // the operation does nothing and fails; all later ones work
    done_but_fails,  // the operation is done, yet fails; all later ones work
    power_cut,       // the operation and all later ones fail
  };

  // Registers itself with SQLite as a VFS; must outlive all connections that use it.
  explicit PowerLossDisk(std::string name);
  ~PowerLossDisk();
  PowerLossDisk(const PowerLossDisk&) = delete;
  PowerLossDisk& operator=(const PowerLossDisk&) = delete;

  [[nodiscard]] const std::string& vfs_name() const { return name_; }

  // Counts operations that change the disk (writes, truncations, syncs, deletions) anew, and fails the one with that
  // number, from 1.
  void plan(Fault fault, std::uint64_t operation);
  [[nodiscard]] std::uint64_t operations();
  // Writes that would make a file larger than this fail as on a full disk; 0: no limit.
  void limit_file_bytes(std::size_t bytes);
  // After a power cut: the disk as it is found again. No connection may be open.
  void restore_power(std::uint64_t seed);

  // What SQLite calls, by way of C functions in the .cc file.
  int exists(const std::string& path);
  int create(const std::string& path);
  int remove(const std::string& path);
  int read(const std::string& path, void* bytes, std::size_t count, std::size_t offset);
  int write(const std::string& path, const void* bytes, std::size_t count, std::size_t offset);
  int truncate(const std::string& path, std::size_t size);
  int sync(const std::string& path);
  std::size_t size(const std::string& path);

 private:
  // A write, or a truncation where `is_truncation`.
  struct Pending {
    bool is_truncation = false;
    std::size_t offset = 0;
    std::string bytes;
  };
  struct File {
    std::string now;
    std::string synced;
    std::vector<Pending> pending;
  };
  // What an operation has to do: fail or not, and be done or not.
  struct Verdict {
    bool done = true;
    bool fails = false;
  };
  Verdict judge();
  static void apply(std::string& content, const Pending& change);

  const std::string name_;
  sqlite3_vfs vfs_{};
  std::mutex mutex_;
  std::map<std::string, File> files_;
  Fault fault_ = Fault::none;
  std::uint64_t fault_at_ = 0;
  std::uint64_t operations_ = 0;
  std::size_t file_bytes_max_ = 0;
};

}  // namespace gantry::store
