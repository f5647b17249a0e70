#include "store/power_loss_vfs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace gantry::store {
namespace {

constexpr std::size_t kSectorBytes = 512;

// What SQLite allocates for an open file; the first member is SQLite's.
struct OpenFile {
  sqlite3_file base;
  PowerLossDisk* disk;
  std::string* path;
};

OpenFile& open_file(sqlite3_file* file) { return *reinterpret_cast<OpenFile*>(file); }
PowerLossDisk& disk_of(sqlite3_vfs* vfs) { return *static_cast<PowerLossDisk*>(vfs->pAppData); }

int close_file(sqlite3_file* file) {
  delete std::exchange(open_file(file).path, nullptr);
  return SQLITE_OK;
}
int read_file(sqlite3_file* file, void* bytes, int count, sqlite3_int64 offset) {
  return open_file(file).disk->read(*open_file(file).path, bytes, static_cast<std::size_t>(count),
                                    static_cast<std::size_t>(offset));
}
int write_file(sqlite3_file* file, const void* bytes, int count, sqlite3_int64 offset) {
  return open_file(file).disk->write(*open_file(file).path, bytes, static_cast<std::size_t>(count),
                                     static_cast<std::size_t>(offset));
}
int truncate_file(sqlite3_file* file, sqlite3_int64 size) {
  return open_file(file).disk->truncate(*open_file(file).path, static_cast<std::size_t>(size));
}
int sync_file(sqlite3_file* file, int /*flags*/) { return open_file(file).disk->sync(*open_file(file).path); }
int size_of_file(sqlite3_file* file, sqlite3_int64* size) {
  *size = static_cast<sqlite3_int64>(open_file(file).disk->size(*open_file(file).path));
  return SQLITE_OK;
}
int lock_file(sqlite3_file* /*file*/, int /*level*/) { return SQLITE_OK; }
int is_reserved(sqlite3_file* /*file*/, int* reserved) {
  *reserved = 0;
  return SQLITE_OK;
}
int control_file(sqlite3_file* /*file*/, int /*operation*/, void* /*argument*/) { return SQLITE_NOTFOUND; }
int sector_bytes(sqlite3_file* /*file*/) { return kSectorBytes; }
int characteristics(sqlite3_file* /*file*/) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

const sqlite3_io_methods kMethods = {
    1,         close_file, read_file,   write_file,   truncate_file, sync_file,       size_of_file,
    lock_file, lock_file,  is_reserved, control_file, sector_bytes,  characteristics, nullptr,
    nullptr,   nullptr,    nullptr,     nullptr,      nullptr};

int open_path(sqlite3_vfs* vfs, const char* path, sqlite3_file* file, int flags, int* flags_out) {
  file->pMethods = nullptr;
  PowerLossDisk& disk = disk_of(vfs);
  if (path == nullptr) return SQLITE_CANTOPEN;
  if (disk.exists(path) == 0) {
    if ((flags & SQLITE_OPEN_CREATE) == 0) return SQLITE_CANTOPEN;
    if (const int code = disk.create(path); code != SQLITE_OK) return code;
  }
  open_file(file).disk = &disk;
  open_file(file).path = new std::string(path);
  file->pMethods = &kMethods;
  if (flags_out != nullptr) *flags_out = flags;
  return SQLITE_OK;
}
int delete_path(sqlite3_vfs* vfs, const char* path, int /*sync_directory*/) { return disk_of(vfs).remove(path); }
int access_path(sqlite3_vfs* vfs, const char* path, int /*flags*/, int* result) {
  *result = disk_of(vfs).exists(path);
  return SQLITE_OK;
}
int full_path(sqlite3_vfs* /*vfs*/, const char* path, int size, char* out) {
  sqlite3_snprintf(size, out, "%s", path);
  return SQLITE_OK;
}
int randomness(sqlite3_vfs* /*vfs*/, int size, char* out) {
  std::memset(out, 7, static_cast<std::size_t>(size));
  return size;
}
int sleep_us(sqlite3_vfs* /*vfs*/, int time_us) { return time_us; }
int current_time(sqlite3_vfs* /*vfs*/, double* days) {
  *days = 2'460'000;
  return SQLITE_OK;
}

}  // namespace

PowerLossDisk::PowerLossDisk(std::string name) : name_(std::move(name)) {
  vfs_.iVersion = 1;
  vfs_.szOsFile = sizeof(OpenFile);
  vfs_.mxPathname = 200;
  vfs_.zName = name_.c_str();
  vfs_.pAppData = this;
  vfs_.xOpen = open_path;
  vfs_.xDelete = delete_path;
  vfs_.xAccess = access_path;
  vfs_.xFullPathname = full_path;
  vfs_.xRandomness = randomness;
  vfs_.xSleep = sleep_us;
  vfs_.xCurrentTime = current_time;
  sqlite3_vfs_register(&vfs_, 0);
}

PowerLossDisk::~PowerLossDisk() { sqlite3_vfs_unregister(&vfs_); }

void PowerLossDisk::plan(Fault fault, std::uint64_t operation) {
  const std::lock_guard lock(mutex_);
  fault_ = fault;
  fault_at_ = operation;
  operations_ = 0;
}

std::uint64_t PowerLossDisk::operations() {
  const std::lock_guard lock(mutex_);
  return operations_;
}

void PowerLossDisk::limit_file_bytes(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  file_bytes_max_ = bytes;
}

void PowerLossDisk::restore_power(std::uint64_t seed) {
  const std::lock_guard lock(mutex_);
  Rng rng(seed);
  // All kept, all lost, or each write by its own toss: only then are long transactions found whole, too.
  const std::uint64_t mood = rng.below(3);
  for (auto& [path, file] : files_) {
    for (Pending& change : file.pending) {
      const std::uint64_t luck = mood == 0 ? 2 : mood == 1 ? 0 : rng.below(3);
      if (luck == 0) continue;
      if (luck == 1 && !change.is_truncation) {
        change.bytes.resize(rng.below(change.bytes.size() / kSectorBytes + 1) * kSectorBytes);
      }
      apply(file.synced, change);
    }
    file.pending.clear();
    file.now = file.synced;
  }
  fault_ = Fault::none;
}

PowerLossDisk::Verdict PowerLossDisk::judge() {
  ++operations_;
  switch (fault_) {
    case Fault::none: return {};
    case Fault::fails_once: return {operations_ != fault_at_, operations_ == fault_at_};
    case Fault::done_but_fails: return {true, operations_ == fault_at_};
    case Fault::power_cut: return {operations_ < fault_at_, operations_ >= fault_at_};
  }
  return {};
}

void PowerLossDisk::apply(std::string& content, const Pending& change) {
  if (change.is_truncation) {
    content.resize(change.offset);
  } else if (!change.bytes.empty()) {
    content.resize(std::max(content.size(), change.offset + change.bytes.size()));
    content.replace(change.offset, change.bytes.size(), change.bytes);
  }
}

int PowerLossDisk::exists(const std::string& path) {
  const std::lock_guard lock(mutex_);
  return files_.contains(path) ? 1 : 0;
}

int PowerLossDisk::create(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const Verdict verdict = judge();
  if (verdict.done) files_[path];
  return verdict.fails ? SQLITE_CANTOPEN : SQLITE_OK;
}

int PowerLossDisk::remove(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const Verdict verdict = judge();
  if (verdict.done) files_.erase(path);
  return verdict.fails ? SQLITE_IOERR_DELETE : SQLITE_OK;
}

int PowerLossDisk::read(const std::string& path, void* bytes, std::size_t count, std::size_t offset) {
  const std::lock_guard lock(mutex_);
  const std::string& content = files_[path].now;
  const std::size_t there = offset < content.size() ? std::min(count, content.size() - offset) : 0;
  std::memset(bytes, 0, count);
  if (there > 0) std::memcpy(bytes, content.data() + offset, there);
  return there == count ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

int PowerLossDisk::write(const std::string& path, const void* bytes, std::size_t count, std::size_t offset) {
  const std::lock_guard lock(mutex_);
  const Verdict verdict = judge();
  File& file = files_[path];
  if (!verdict.fails && file_bytes_max_ != 0 && offset + count > file_bytes_max_ && offset + count > file.now.size()) {
    return SQLITE_FULL;
  }
  if (verdict.done) {
    file.pending.push_back({false, offset, std::string(static_cast<const char*>(bytes), count)});
    apply(file.now, file.pending.back());
  }
  return verdict.fails ? SQLITE_IOERR_WRITE : SQLITE_OK;
}

int PowerLossDisk::truncate(const std::string& path, std::size_t size) {
  const std::lock_guard lock(mutex_);
  const Verdict verdict = judge();
  if (verdict.done) {
    File& file = files_[path];
    file.pending.push_back({true, size, {}});
    apply(file.now, file.pending.back());
  }
  return verdict.fails ? SQLITE_IOERR_TRUNCATE : SQLITE_OK;
}

int PowerLossDisk::sync(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const Verdict verdict = judge();
  if (verdict.done) {
    File& file = files_[path];
    file.synced = file.now;
    file.pending.clear();
  }
  return verdict.fails ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

std::size_t PowerLossDisk::size(const std::string& path) {
  const std::lock_guard lock(mutex_);
  return files_[path].now.size();
}

namespace {

// How many of 40 sectors written but not synced are there after a power cut.
std::size_t sectors_kept(std::uint64_t seed) {
  PowerLossDisk disk("power-loss-self-test");
  const std::string sector(kSectorBytes, 's');
  EXPECT_EQ(disk.create("f"), SQLITE_OK);
  EXPECT_EQ(disk.write("f", sector.data(), sector.size(), 0), SQLITE_OK);
  EXPECT_EQ(disk.sync("f"), SQLITE_OK);
  for (std::size_t i = 1; i <= 40; ++i) {
    EXPECT_EQ(disk.write("f", sector.data(), sector.size(), i * kSectorBytes), SQLITE_OK);
  }
  disk.restore_power(seed);
  std::string content(41 * kSectorBytes, '\0');
  disk.read("f", content.data(), content.size(), 0);
  EXPECT_EQ(content.substr(0, kSectorBytes), sector);
  return static_cast<std::size_t>(std::count(content.begin(), content.end(), 's')) / kSectorBytes - 1;
}

}  // namespace

TEST(PowerLossDisk, LosesAllNoneOrSomeOfWhatWasNotSyncedAndNothingElse) {
  int all = 0;
  int none = 0;
  int some = 0;
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    const std::size_t kept = sectors_kept(seed);
    (kept == 40 ? all : kept == 0 ? none : some) += 1;
  }
  EXPECT_GT(all, 3);
  EXPECT_GT(none, 3);
  EXPECT_GT(some, 3);
}

}  // namespace gantry::store
