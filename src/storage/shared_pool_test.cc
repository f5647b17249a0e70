// One directory and two hosts that know nothing of each other.
#include <gmock/gmock.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <future>
#include <thread>
#include <utility>

#include "storage/file_ops.h"
#include "storage/images.h"
#include "storage/paths.h"
#include "storage/pool_identity.h"
#include "storage/pools.h"
#include "storage/testing.h"
#include "storage/volumes.h"

namespace gantry::storage {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr char kPoolId[] = "pool-0123456789ab";
constexpr char kOtherPoolId[] = "pool-aaaaaaaaaaaa";
constexpr char kAlpha[] = "host-aaaaaaaaaaaa";
constexpr char kBeta[] = "host-bbbbbbbbbbbb";

class SharedPoolTest : public StorageTest {
 protected:
  SharedPoolTest() { fs::create_directories(pool); }

  [[nodiscard]] port::PoolRequest of(const std::string& host, bool is_new = false) const {
    return {.path = pool, .is_new = is_new, .shared_id = kPoolId, .worker = host};
  }
  Result<v1::PoolStatus> inspect_as(const std::string& host, bool is_new = false) {
    return storage::inspect_pool(of(host, is_new), active);
  }
  [[nodiscard]] port::VolumeRequest volume_of(const std::string& host) const {
    port::VolumeRequest request = volume(10 * kMiB);
    request.pool = of(host);
    return request;
  }
  [[nodiscard]] port::ImageRequest image_of(const std::string& host) const {
    port::ImageRequest request = upload();
    request.pool = of(host);
    return request;
  }
  // Without the one that says whose they are.
  [[nodiscard]] std::vector<std::string> files() const {
    auto all = files_of_pool();
    std::erase(all, ".gantry-pool");
    return all;
  }
  void make() { ASSERT_EQ(word_of(inspect_as(kAlpha, true)), "done"); }

  ActiveObjects active;
};

TEST_F(SharedPoolTest, OneHostMakesItAndTheOthersFindIt) {
  EXPECT_EQ(word_of(inspect_as(kBeta)), "pool_unusable");
  EXPECT_TRUE(fs::is_empty(pool)) << "who does not make it leaves it alone";
  make();
  EXPECT_EQ(read_text(identity_path(pool)), std::string(kPoolId) + "\n");
  const auto found = inspect_as(kBeta);
  ASSERT_TRUE(found.has_value()) << found.error().to_text();
  EXPECT_EQ(found->state(), v1::PoolStatus::READY);
  // Its maker may ask again before it was heard.
  EXPECT_EQ(word_of(inspect_as(kAlpha, true)), "done");
}

TEST_F(SharedPoolTest, AServerThatHangsHoldsUpNoOtherPool) {
  make();
  write_text(directory.path("source.raw"), noise(kMiB));
  fs::copy_file(directory.path("source.raw"), upload_path(pool, kImageId));
  const auto image = storage::import_image(image_of(kAlpha), options, {});
  ASSERT_TRUE(image.has_value()) << image.error().to_text();
  storage->inspect_pool(of(kAlpha), [](const auto&) {});
  std::promise<void> server_is_back;
  const auto back = server_is_back.get_future().share();
  for (auto* workers : {&shared_quick, &shared_slow}) workers->submit([back] { back.wait(); });
  int answered = 0;
  const auto count = [&answered](const auto&) { ++answered; };
  // More than there are workers for this host's own pools.
  for (int n = 0; n < 4; ++n) {
    auto request = volume_of(kAlpha);
    request.volume_id = "vol-00000000000" + std::to_string(n);
    storage->inspect_volume(request, count);
  }
  storage->inspect_image(image_of(kAlpha), count);
  const port::PoolRequest own{.path = directory.path("own"), .is_new = true};
  auto overlay = volume(kMiB);
  overlay.volume_id = "vol-aaaaaaaaaaaa";
  overlay.pool = own;
  overlay.image_path = image->path;
  storage->create_volume(overlay, {}, count);

  const auto status = wait<v1::PoolStatus>([&](const auto& done) { storage->inspect_pool(own, done); });
  ASSERT_TRUE(status.has_value()) << status.error().to_text();
  auto blank = volume(kMiB);
  blank.pool = own;
  EXPECT_EQ(word_of(create(blank)), "done");
  EXPECT_EQ(answered, 0);
  server_is_back.set_value();
  EXPECT_TRUE(executor.pump_until([&] { return answered == 6; }));
}

TEST_F(SharedPoolTest, TwoThatMakeItAtOnceAgree) {
  for (int round = 0; round < 20; ++round) {
    std::string said;
    std::thread beta([&] { said = word_of(inspect_as(kBeta, true)); });
    EXPECT_EQ(word_of(inspect_as(kAlpha, true)), "done");
    beta.join();
    EXPECT_EQ(said, "done");
    EXPECT_EQ(read_text(identity_path(pool)), std::string(kPoolId) + "\n");
    EXPECT_TRUE(remove_identity(of(kAlpha)).has_value());
  }
}

TEST_F(SharedPoolTest, ADirectoryThatIsNotItIsNeverTakenForIt) {
  make();
  ASSERT_TRUE(storage::create_volume(volume_of(kAlpha), {}).has_value());
  // As a host sees it on which the file system is not mounted, mounted late, or another one is.
  const std::string aside = directory.path("aside");
  fs::rename(pool, aside);
  auto status = inspect_as(kBeta);
  ASSERT_FALSE(status.has_value());
  EXPECT_THAT(status.error().cause, HasSubstr("no directory"));
  EXPECT_FALSE(fs::exists(pool));
  EXPECT_EQ(word_of(inspect_as(kBeta, true)), "pool_unusable") << "nor is it made";
  EXPECT_FALSE(fs::exists(pool));

  fs::create_directories(pool);
  status = inspect_as(kBeta);
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().word(), "pool_unusable");
  EXPECT_THAT(status.error().cause, HasSubstr("not mounted"));
  EXPECT_EQ(word_of(storage::inspect_volume(volume_of(kBeta))), "pool_unusable");
  EXPECT_EQ(word_of(storage::create_volume(volume_of(kBeta), {})), "pool_unusable");
  EXPECT_EQ(word_of(storage::delete_volume(volume_of(kBeta))), "pool_unusable");
  EXPECT_EQ(word_of(storage::import_image(image_of(kBeta), options, {})), "pool_unusable");
  EXPECT_TRUE(fs::is_empty(pool));

  fs::remove(pool);
  fs::rename(aside, pool);
  EXPECT_EQ(word_of(storage::inspect_volume(volume_of(kBeta))), "done");
}

TEST_F(SharedPoolTest, ThatOfAnotherClusterIsRefused) {
  make();
  for (const bool is_new : {true, false}) {
    auto request = of(kBeta, is_new);
    request.shared_id = kOtherPoolId;
    const auto status = storage::inspect_pool(request, active);
    ASSERT_FALSE(status.has_value());
    EXPECT_EQ(status.error().word(), "pool_unusable");
    EXPECT_THAT(status.error().cause, HasSubstr(kPoolId));
  }
  // As the pool of one host alone, too.
  const auto alone = storage::inspect_pool({.path = pool, .is_new = true}, active);
  ASSERT_FALSE(alone.has_value());
  EXPECT_THAT(alone.error().cause, HasSubstr(kPoolId));
}

TEST_F(SharedPoolTest, WhereSomethingLiesNothingIsMade) {
  ASSERT_TRUE(inspect_pool().has_value());
  write_text(pool + "/volumes/vol-0123456789ab.qcow2", "somebody's");
  const auto status = inspect_as(kAlpha, true);
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().word(), "pool_unusable");
  EXPECT_FALSE(fs::exists(identity_path(pool)));
}

TEST_F(SharedPoolTest, WhatSaysWhoseItIsMayBeAnything) {
  make();
  const std::string path = identity_path(pool);
  for (const std::string& content : {std::string(), std::string("\x1b[2J"), std::string(100'000, 'x')}) {
    fs::remove(path);
    write_text(path, content);
    const auto status = inspect_as(kBeta);
    ASSERT_FALSE(status.has_value());
    EXPECT_EQ(status.error().to_text().find('\x1b'), std::string::npos);
  }
  fs::remove(path);
  fs::create_symlink("/etc/passwd", path);
  EXPECT_EQ(word_of(inspect_as(kBeta)), "pool_unusable");
  fs::remove(path);
  fs::create_directory(path);
  EXPECT_EQ(word_of(inspect_as(kBeta)), "pool_unusable");
}

TEST_F(SharedPoolTest, APoolThatGoesLeavesTheDirectoryToTheNext) {
  make();
  auto foreign = of(kBeta);
  foreign.shared_id = kOtherPoolId;
  EXPECT_TRUE(remove_identity(foreign).has_value());
  EXPECT_TRUE(fs::exists(identity_path(pool))) << "it says another";
  EXPECT_TRUE(remove_identity(of(kBeta)).has_value());
  EXPECT_TRUE(remove_identity(of(kBeta)).has_value());
  foreign.is_new = true;
  EXPECT_EQ(word_of(storage::inspect_pool(foreign, active)), "done");
}

// ---- two at work on one thing

TEST_F(SharedPoolTest, TwoThatImportAtOnceMakeOneImage) {
  make();
  const std::string source = directory.path("source.raw");
  write_text(source, noise(2 * kMiB));
  for (int round = 0; round < 5; ++round) {
    fs::copy_file(source, upload_path(pool, kImageId));
    Result<port::ImageFacts> second = fail(ErrorCode::internal, "not asked");
    std::thread beta([&] { second = storage::import_image(image_of(kBeta), options, {}); });
    const auto first = storage::import_image(image_of(kAlpha), options, {});
    beta.join();
    EXPECT_EQ(word_of(first), "done") << (first ? "" : first.error().to_text());
    EXPECT_EQ(word_of(second), "done") << (second ? "" : second.error().to_text());
    const std::string path = disk_image_path(pool, kImageId);
    run({"qemu-img", "compare", "-f", "raw", "-F", "qcow2", source, path});
    EXPECT_EQ(files(), std::vector<std::string>{"images/img-0123456789ab.qcow2"});
    ASSERT_TRUE(storage::delete_image(image_of(kAlpha)).has_value());
  }
}

TEST_F(SharedPoolTest, TwoThatMakeAVolumeAtOnceMakeOne) {
  make();
  for (int round = 0; round < 5; ++round) {
    std::string second;
    std::thread beta([&] { second = word_of(storage::create_volume(volume_of(kBeta), {})); });
    EXPECT_EQ(word_of(storage::create_volume(volume_of(kAlpha), {})), "done");
    beta.join();
    EXPECT_EQ(second, "done");
    EXPECT_EQ(files(), std::vector<std::string>{"volumes/vol-0123456789ab.qcow2"});
    ASSERT_TRUE(storage::delete_volume(volume_of(kBeta)).has_value());
  }
}

TEST_F(SharedPoolTest, WhoIsLateReplacesNothing) {
  const std::string path = directory.path("made");
  const std::string late = directory.path("late");
  write_text(path, "in use");
  write_text(late, "late");
  EXPECT_EQ(code_of(publish_new(late, path)), ErrorCode::already_exists);
  EXPECT_EQ(read_text(path), "in use");
  // As NFS does it when the answer was lost: done, and said to be refused.
  fs::remove(path);
  fs::create_hard_link(late, path);
  EXPECT_TRUE(publish_new(late, path).has_value());
  EXPECT_EQ(read_text(path), "late");
  EXPECT_FALSE(fs::exists(late));
}

TEST_F(SharedPoolTest, ADeletionTakesAwayWhatALostHostWouldFinish) {
  make();
  const std::string volume_file = pool + "/volumes/vol-0123456789ab.qcow2." + kBeta + ".new";
  const std::string image_file = pool + "/images/img-0123456789ab.qcow2." + kBeta + ".new";
  const std::string fetched = pool + "/uploads/img-0123456789ab." + kBeta + ".fetch";
  const std::string others = pool + "/volumes/vol-aaaaaaaaaaaa.qcow2." + std::string(kBeta) + ".new";
  for (const std::string& path : {volume_file, image_file, fetched, others}) write_text(path, "half");
  EXPECT_TRUE(storage::delete_volume(volume_of(kAlpha)).has_value());
  EXPECT_TRUE(storage::delete_image(image_of(kAlpha)).has_value());
  EXPECT_EQ(files(), std::vector<std::string>{others.substr(pool.size() + 1)});
  EXPECT_FALSE(publish_new(volume_file, pool + "/volumes/vol-0123456789ab.qcow2").has_value());
}

// As long as its file has the name of what is deleted, a host that is late finds that name taken.
TEST_F(SharedPoolTest, ADeletionTakesWhatIsUnfinishedBeforeWhatIsWhole) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may keep a file from being deleted";
  make();
  for (const std::string& place : {pool + "/volumes", pool + "/images"}) {
    const bool is_image = place.ends_with("images");
    const std::string whole = place + (is_image ? "/img-0123456789ab.qcow2" : "/vol-0123456789ab.qcow2");
    const std::string late = whole + "." + kBeta + ".new";
    // A directory with something mounted in it stays.
    fs::create_directories(late + "/stays");
    mounts.mount(late + "/stays", "64k");
    write_text(whole, "whole");
    const auto removed = is_image ? storage::delete_image(image_of(kAlpha)) : storage::delete_volume(volume_of(kAlpha));
    EXPECT_FALSE(removed.has_value());
    EXPECT_TRUE(fs::exists(whole)) << "it is tried again, and then all goes";
  }
}

TEST_F(SharedPoolTest, AKernelThatIsLateLeavesTheInitramfsOfTheFirst) {
  make();
  write_text(directory.path("kernel"), noise(700'000));
  write_text(directory.path("initramfs"), noise(300'000));
  auto request = image_of(kAlpha);
  request.spec.set_kind(v1::ImageSpec::KERNEL);
  run({"tar", "-C", directory.path(), "-cf", upload_path(pool, kImageId), "./kernel", "./initramfs"});
  const std::string initramfs = pool + "/images/img-0123456789ab.initramfs";
  write_text(initramfs, "left by an earlier attempt");
  // While it copies, the other host comes to its end.
  bool other_is_done = false;
  const Job job{{}, [&](std::uint32_t, const std::string&) {
                  if (std::exchange(other_is_done, true)) return;
                  write_text(initramfs, "of the first");
                  write_text(pool + "/images/img-0123456789ab.kernel", "of the first");
                }};
  EXPECT_EQ(word_of(storage::import_image(request, options, job)), "done");
  EXPECT_TRUE(other_is_done);
  EXPECT_EQ(read_text(initramfs), "of the first");
  EXPECT_EQ(files(), (std::vector<std::string>{"images/img-0123456789ab.initramfs", "images/img-0123456789ab.kernel"}));
}

TEST_F(SharedPoolTest, EachHostSweepsWhatIsItsOwn) {
  make();
  const std::string own = pool + "/volumes/vol-0123456789ab.qcow2." + kAlpha + ".new";
  const std::string fresh = pool + "/volumes/vol-0123456789ab.qcow2." + kBeta + ".new";
  const std::string old = pool + "/images/img-0123456789ab.qcow2." + std::string(kBeta) + ".new";
  for (const std::string& path : {own, fresh, old}) write_text(path, "half");
  fs::last_write_time(old, fs::last_write_time(old) - std::chrono::hours(25));
  ASSERT_TRUE(inspect_as(kAlpha).has_value());
  EXPECT_EQ(files(), std::vector<std::string>{fresh.substr(pool.size() + 1)});
}

TEST_F(SharedPoolTest, WhoOnlyLooksTidiesNothingUp) {
  make();
  write_text(directory.path("source.raw"), noise(kMiB));
  fs::copy_file(directory.path("source.raw"), upload_path(pool, kImageId));
  ASSERT_TRUE(storage::import_image(image_of(kAlpha), options, {}).has_value());
  write_text(upload_path(pool, kImageId), "sent");
  auto looks = image_of(kBeta);
  looks.look_only = true;
  EXPECT_TRUE(storage::inspect_image(looks).has_value());
  EXPECT_TRUE(fs::exists(upload_path(pool, kImageId)));
  auto volume_request = volume_of(kAlpha);
  ASSERT_TRUE(storage::create_volume(volume_request, {}).has_value());
  volume_request.pool.worker = kBeta;
  volume_request.uid = 0;
  EXPECT_TRUE(storage::inspect_volume(volume_request).has_value());
  const auto file = stat_file(pool + "/volumes/vol-0123456789ab.qcow2");
  ASSERT_TRUE(file.has_value());
  if (::geteuid() == 0) {
    EXPECT_EQ(file->owner_uid, kUid);
  }
}

}  // namespace
}  // namespace gantry::storage
