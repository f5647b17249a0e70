#include "storage/testing.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/rng.h"
#include "runtime/clock.h"
#include "runtime/process.h"
#include "storage/paths.h"

namespace gantry::storage {

namespace fs = std::filesystem;

TempDirectory::TempDirectory() {
  std::string name = (fs::temp_directory_path() / "gantry-storage-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) std::abort();
  ::chmod(name.c_str(), 0711);
  path_ = name;
}

TempDirectory::~TempDirectory() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void PumpExecutor::post(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  queue_.push_back(std::move(work));
  changed_.notify_one();
}

void PumpExecutor::post_after(Milliseconds, std::function<void()> work) { post(std::move(work)); }

Now PumpExecutor::now() const { return runtime::real_now(); }

bool PumpExecutor::pump_until(const std::function<bool()>& is_done) {
  const Milliseconds deadline_ms = now().monotonic_ms + 120'000;
  while (!is_done()) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::milliseconds(20), [&] { return !queue_.empty(); });
    if (queue_.empty()) {
      if (now().monotonic_ms > deadline_ms) return false;
      continue;
    }
    const auto work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
  }
  return true;
}

StorageTest::StorageTest() {
  options.seed_directory = directory.path("seeds");
  options.cache_directory = directory.path("cache");
  open_storage();
}

Result<v1::PoolStatus> StorageTest::inspect_pool() {
  return wait<v1::PoolStatus>([&](auto done) { storage->inspect_pool({pool, pool_is_new}, done); });
}

Result<port::VolumeFacts> StorageTest::create(const port::VolumeRequest& request) {
  return wait<port::VolumeFacts>([&](auto done) {
    storage->create_volume(
        request, [this](const v1::Progress& told) { progress.push_back(told); }, done);
  });
}

Result<port::VolumeFacts> StorageTest::inspect(const port::VolumeRequest& request) {
  return wait<port::VolumeFacts>([&](auto done) { storage->inspect_volume(request, done); });
}

Result<port::VolumeFacts> StorageTest::resize(const port::VolumeRequest& request) {
  return wait<port::VolumeFacts>([&](auto done) { storage->resize_volume(request, done); });
}

Result<void> StorageTest::remove(const port::VolumeRequest& request) {
  return wait<void>([&](auto done) { storage->delete_volume(request, done); });
}

Result<port::ImageFacts> StorageTest::import(const port::ImageRequest& request) {
  return wait<port::ImageFacts>([&](auto done) {
    storage->import_image(
        request, [this](const v1::Progress& told) { progress.push_back(told); }, done);
  });
}

Result<port::ImageFacts> StorageTest::inspect(const port::ImageRequest& request) {
  return wait<port::ImageFacts>([&](auto done) { storage->inspect_image(request, done); });
}

Result<void> StorageTest::remove(const port::ImageRequest& request) {
  return wait<void>([&](auto done) { storage->delete_image(request, done); });
}

port::VolumeRequest StorageTest::volume(std::uint64_t capacity_bytes, v1::VolumeSpec::Format format) const {
  port::VolumeRequest request;
  request.volume_id = kVolumeId;
  request.pool.path = pool;
  request.pool.is_new = pool_is_new;
  request.format = format;
  request.capacity_bytes = capacity_bytes;
  request.uid = kUid;
  return request;
}

port::ImageRequest StorageTest::upload(v1::ImageSpec::Kind kind) const {
  port::ImageRequest request;
  request.image_id = kImageId;
  request.pool.path = pool;
  request.pool.is_new = pool_is_new;
  request.spec.set_kind(kind);
  request.spec.set_upload(true);
  return request;
}

std::string StorageTest::make_image(std::uint64_t size_bytes) {
  EXPECT_TRUE(inspect_pool().has_value());
  std::string content = noise(256ULL << 10U);
  content.resize(size_bytes);
  write_text(upload_path(pool, kImageId), content);
  const auto imported = import(upload());
  EXPECT_TRUE(imported.has_value()) << imported.error().to_text();
  return imported ? imported->path : "";
}

std::vector<std::string> StorageTest::files_of_pool() const {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(pool)) {
    if (!entry.is_directory() || entry.path().parent_path() != pool) {
      names.push_back(entry.path().string().substr(pool.size() + 1));
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string run(const std::vector<std::string>& argv) {
  runtime::ProcessRequest request;
  request.argv = argv;
  const auto output = runtime::run_process(request);
  EXPECT_TRUE(output.has_value()) << output.error().to_text();
  return output ? output->out : "";
}

void write_text(const std::string& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  ASSERT_TRUE(file.flush()) << path;
}

std::string read_text(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

void damage(const std::string& path, std::uint64_t offset, std::string_view bytes) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(offset));
  file << bytes;
  ASSERT_TRUE(file.flush()) << path;
}

std::string noise(std::size_t size) {
  Rng rng(7);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(rng.below(256));
  return bytes;
}

OwnMounts::OwnMounts() {
  if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) std::abort();
}

OwnMounts::~OwnMounts() {
  for (const std::string& path : paths_) ::umount2(path.c_str(), MNT_DETACH);
}

void OwnMounts::mount(const std::string& path, const std::string& size) {
  fs::create_directories(path);
  ASSERT_EQ(::mount("tmpfs", path.c_str(), "tmpfs", 0, ("mode=0711,size=" + size).c_str()), 0);
  paths_.push_back(path);
}

}  // namespace gantry::storage
