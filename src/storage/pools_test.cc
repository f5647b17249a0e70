#include "storage/pools.h"

#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include "storage/paths.h"
#include "storage/testing.h"

namespace gantry::storage {
namespace {

using PoolsTest = StorageTest;

TEST_F(PoolsTest, ItAddsUpWhatIsTaken) {
  auto request = volume(100 * kMiB);
  ASSERT_TRUE(create(request).has_value());
  request = volume(50 * kMiB, v1::VolumeSpec::RAW);
  request.volume_id = "vol-aaaaaaaaaaaa";
  ASSERT_TRUE(create(request).has_value());
  const auto status = inspect_pool();
  ASSERT_TRUE(status.has_value()) << status.error().to_text();
  EXPECT_EQ(status->state(), v1::PoolStatus::READY);
  EXPECT_GT(status->allocation_bytes(), 0U);
  EXPECT_LT(status->allocation_bytes(), 2 * kMiB);
  EXPECT_GT(status->capacity_bytes(), status->available_bytes());
}

TEST_F(PoolsTest, WhatACrashLeftIsRemoved) {
  ASSERT_TRUE(inspect_pool().has_value());
  write_text(pool + "/volumes/vol-0123456789ab.qcow2.new", "half");
  write_text(pool + "/images/img-0123456789ab.qcow2.new", "half");
  write_text(pool + "/uploads/img-0123456789ab.fetch", "half");
  std::filesystem::create_directories(pool + "/images/img-0123456789ab.qcow2.new.work/memory");
  write_text(pool + "/uploads/img-0123456789ab", "whole");
  ASSERT_TRUE(inspect_pool().has_value());
  EXPECT_EQ(files_of_pool(), std::vector<std::string>{"uploads/img-0123456789ab"});
}

TEST(ActiveObjectsTest, WorkWaitsForTheRemovalOfItsOwnLeftoversOnly) {
  ActiveObjects active;
  ASSERT_TRUE(active.begin_removal("img-a"));
  EXPECT_FALSE(active.begin_removal("img-a"));
  active.begin_work("img-b");
  EXPECT_FALSE(active.begin_removal("img-b"));
  std::atomic<bool> begun = false;
  std::atomic<bool> removed = false;
  std::atomic<bool> waited = false;
  std::thread worker([&] {
    begun = true;
    active.begin_work("img-a");
    waited = removed.load();
  });
  while (!begun) std::this_thread::yield();
  removed = true;
  active.end_removal("img-a");
  worker.join();
  EXPECT_TRUE(waited);
  EXPECT_FALSE(active.begin_removal("img-a"));
  active.end_work("img-a");
  active.end_work("img-b");
  EXPECT_TRUE(active.begin_removal("img-a"));
  EXPECT_TRUE(active.begin_removal("img-b"));
}

TEST_F(PoolsTest, AnUploadThatNobodyGoesOnWithIsRemoved) {
  ASSERT_TRUE(inspect_pool().has_value());
  const std::string partial = partial_upload_path(pool, kImageId);
  const std::string whole = upload_path(pool, kImageId);
  for (const std::string& path : {partial, whole}) write_text(path, "beginning");
  ASSERT_TRUE(inspect_pool().has_value());
  EXPECT_TRUE(std::filesystem::exists(partial));
  for (const std::string& path : {partial, whole}) {
    std::filesystem::last_write_time(path, std::filesystem::last_write_time(path) - std::chrono::hours(25));
  }
  ASSERT_TRUE(inspect_pool().has_value());
  EXPECT_FALSE(std::filesystem::exists(partial));
  EXPECT_TRUE(std::filesystem::exists(whole)) << "acknowledged, and not imported yet";
}

TEST_F(PoolsTest, APlaceThatCannotBeAPoolIsSaidToBeUnusable) {
  write_text(directory.path("file"), "x");
  for (const std::string& path : {directory.path("file"), directory.path("file/below"), std::string("/proc/pool")}) {
    pool = path;
    const auto status = inspect_pool();
    ASSERT_FALSE(status.has_value()) << path;
    EXPECT_EQ(word_of(status), "pool_unusable");
    EXPECT_FALSE(status.error().next_step.empty());
  }
  pool = directory.path("a/../b");
  EXPECT_EQ(code_of(inspect_pool()), ErrorCode::invalid_argument);
}

// As a mount point looks before its file system comes, or after it went.
TEST_F(PoolsTest, APoolWhoseFileSystemIsNotMountedIsNotMadeAgain) {
  const std::string elsewhere = directory.path("elsewhere");
  ASSERT_TRUE(inspect_pool().has_value());
  pool_is_new = false;
  ASSERT_TRUE(create(volume(kMiB)).has_value());
  auto other = volume(kMiB);
  other.volume_id = "vol-aaaaaaaaaaaa";
  std::filesystem::rename(pool, elsewhere);
  for (const bool has_mount_point : {true, false}) {
    if (has_mount_point) std::filesystem::create_directory(pool);
    EXPECT_EQ(code_of(inspect_pool()), ErrorCode::unavailable);
    EXPECT_EQ(word_of(inspect_pool()), "pool_unusable");
    EXPECT_EQ(word_of(inspect(volume(kMiB))), "pool_unusable") << "not missing, which nothing would heal";
    EXPECT_EQ(word_of(create(other)), "pool_unusable");
    EXPECT_EQ(word_of(resize(volume(2 * kMiB))), "pool_unusable");
    EXPECT_EQ(word_of(remove(volume(kMiB))), "pool_unusable") << "its file would stay";
    EXPECT_EQ(word_of(import(upload())), "pool_unusable");
    EXPECT_EQ(word_of(inspect(upload())), "pool_unusable");
    EXPECT_EQ(word_of(remove(upload())), "pool_unusable");
    EXPECT_EQ(std::filesystem::exists(pool), has_mount_point);
    if (has_mount_point) {
      EXPECT_TRUE(std::filesystem::is_empty(pool));
      std::filesystem::remove(pool);
    }
  }
  std::filesystem::rename(elsewhere, pool);
  EXPECT_TRUE(inspect_pool().has_value());
  EXPECT_TRUE(inspect(volume(kMiB)).has_value());
  EXPECT_TRUE(create(other).has_value());
}

TEST_F(PoolsTest, APoolThatIsThereInPartIsMadeWhole) {
  ASSERT_TRUE(inspect_pool().has_value());
  pool_is_new = false;
  for (const std::string& left : {volumes_directory(pool), images_directory(pool)}) {
    std::filesystem::remove_all(pool);
    std::filesystem::create_directories(left);
    ASSERT_TRUE(inspect_pool().has_value()) << left;
    EXPECT_TRUE(std::filesystem::exists(volumes_directory(pool)));
    EXPECT_TRUE(std::filesystem::exists(images_directory(pool)));
    EXPECT_TRUE(std::filesystem::exists(uploads_directory(pool)));
  }
}

TEST_F(PoolsTest, NothingIsInANewPoolThatCannotBeMade) {
  pool = "/proc/pool";
  EXPECT_EQ(word_of(inspect(volume(kMiB))), "volume_missing");
  EXPECT_TRUE(remove(volume(kMiB)).has_value());
  EXPECT_TRUE(remove(upload()).has_value());
}

TEST_F(PoolsTest, AFullFileSystemIsFull) {
  mounts.mount(pool, "64k");
  ASSERT_TRUE(inspect_pool().has_value());
  EXPECT_EQ(inspect_pool()->capacity_bytes(), 64U * 1024);
}

}  // namespace
}  // namespace gantry::storage
