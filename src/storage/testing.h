// What the tests of this room share. Never part of the library.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "port/executor.h"
#include "runtime/worker_pool.h"
#include "storage/host_storage.h"

namespace gantry::storage {

// A directory that guests' users can pass through; gone with the object.
class TempDirectory {
 public:
  TempDirectory();
  ~TempDirectory();
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  [[nodiscard]] std::string path(const std::string& name = "") const {
    return name.empty() ? path_ : path_ + "/" + name;
  }

 private:
  std::string path_;
};

// Runs on the test's thread, while it waits.
class PumpExecutor final : public port::Executor {
 public:
  void post(std::function<void()> work) override;
  void post_after(Milliseconds delay_ms, std::function<void()> work) override;
  [[nodiscard]] Now now() const override;
  // Until `is_done` or a generous deadline; which of both.
  bool pump_until(const std::function<bool()>& is_done);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
};

// Mounts that only this test's process sees. Made before any thread, which then shares it.
class OwnMounts {
 public:
  OwnMounts();
  ~OwnMounts();
  OwnMounts(const OwnMounts&) = delete;
  OwnMounts& operator=(const OwnMounts&) = delete;
  // A file system of its own of that size ("64k").
  void mount(const std::string& path, const std::string& size);

 private:
  std::vector<std::string> paths_;
};

// The driver with a pool at `pool`, called as if it were synchronous.
class StorageTest : public testing::Test {
 protected:
  StorageTest();

  // Anew, with `options` as they are then.
  void open_storage() { storage.emplace(executor, Workers{quick, slow}, Workers{shared_quick, shared_slow}, options); }

  template <class Value>
  Result<Value> wait(const std::function<void(std::function<void(Result<Value>)>)>& call) {
    std::optional<Result<Value>> answer;
    call([&](Result<Value> result) { answer = std::move(result); });
    if (!executor.pump_until([&] { return answer.has_value(); })) return fail(ErrorCode::timed_out, "no answer came");
    return *answer;
  }

  Result<v1::PoolStatus> inspect_pool();
  Result<port::VolumeFacts> create(const port::VolumeRequest& request);
  Result<port::VolumeFacts> inspect(const port::VolumeRequest& request);
  Result<port::VolumeFacts> resize(const port::VolumeRequest& request);
  Result<void> remove(const port::VolumeRequest& request);
  Result<port::ImageFacts> import(const port::ImageRequest& request);
  Result<port::ImageFacts> inspect(const port::ImageRequest& request);
  Result<void> remove(const port::ImageRequest& request);

  [[nodiscard]] port::VolumeRequest volume(std::uint64_t capacity_bytes,
                                           v1::VolumeSpec::Format format = v1::VolumeSpec::QCOW2) const;
  // An image to be uploaded.
  [[nodiscard]] port::ImageRequest upload(v1::ImageSpec::Kind kind = v1::ImageSpec::DISK) const;
  // A finished image of that size with content; its path.
  std::string make_image(std::uint64_t size_bytes);

  // All files of the pool, with what stands in its directories, sorted.
  [[nodiscard]] std::vector<std::string> files_of_pool() const;

  TempDirectory directory;
  OwnMounts mounts;
  std::string pool = directory.path("pool");
  bool pool_is_new = true;
  StorageOptions options;
  PumpExecutor executor;
  std::vector<v1::Progress> progress;
  runtime::WorkerPool quick{2};
  runtime::WorkerPool slow{2};
  runtime::WorkerPool shared_quick{1};
  runtime::WorkerPool shared_slow{1};
  std::optional<HostStorage> storage;
};

// The program's output; a failed expectation when it fails.
std::string run(const std::vector<std::string>& argv);
void write_text(const std::string& path, std::string_view text);
std::string read_text(const std::string& path);
// Overwrites bytes in the middle of a file.
void damage(const std::string& path, std::uint64_t offset, std::string_view bytes);
// Bytes that are the same each time and do not compress.
std::string noise(std::size_t size);

// How it failed; "done" and nothing when it did not.
template <class Value>
std::string word_of(const Result<Value>& result) {
  return result ? "done" : result.error().word();
}
template <class Value>
std::optional<ErrorCode> code_of(const Result<Value>& result) {
  return result ? std::nullopt : std::optional(result.error().code);
}

inline constexpr std::uint64_t kMiB = 1U << 20U;
inline constexpr char kVolumeId[] = "vol-0123456789ab";
inline constexpr char kImageId[] = "img-0123456789ab";
inline constexpr char kVmId[] = "vm-0123456789ab";
inline constexpr std::uint32_t kUid = 1'900'000'123;

}  // namespace gantry::storage
