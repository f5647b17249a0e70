#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <future>
#include <iterator>
#include <set>
#include <sstream>
#include <thread>

#include "model/uid.h"
#include "runtime/process.h"
#include "storage/paths.h"
#include "storage/testing.h"

namespace gantry::storage {
namespace {

using VolumesTest = StorageTest;

struct stat stat_of(const std::string& path) {
  struct stat facts {};
  EXPECT_EQ(::lstat(path.c_str(), &facts), 0) << path;
  return facts;
}

TEST_F(VolumesTest, BlankVolumesAreMadeForTheirUser) {
  for (const auto format : {v1::VolumeSpec::QCOW2, v1::VolumeSpec::RAW}) {
    const auto facts = create(volume(64 * kMiB, format));
    ASSERT_TRUE(facts.has_value()) << facts.error().to_text();
    EXPECT_EQ(facts->path, volume_path(pool, kVolumeId, format));
    EXPECT_EQ(facts->capacity_bytes, 64 * kMiB);
    EXPECT_LT(facts->allocation_bytes, kMiB);
    const struct stat file = stat_of(facts->path);
    EXPECT_EQ(file.st_uid, kUid);
    EXPECT_EQ(file.st_gid, kUid);
    EXPECT_EQ(file.st_mode & 0777U, 0600U);
    const std::string info = run({"qemu-img", "info", facts->path});
    EXPECT_NE(info.find(format == v1::VolumeSpec::RAW ? "file format: raw" : "file format: qcow2"), std::string::npos);
  }
}

TEST_F(VolumesTest, GuestsPassThroughThePoolButDoNotListIt) {
  ASSERT_TRUE(create(volume(kMiB)).has_value());
  for (const std::string& part : {pool, pool + "/volumes", pool + "/images", pool + "/uploads"}) {
    EXPECT_EQ(stat_of(part).st_mode & 0777U, 0711U) << part;
  }
}

TEST_F(VolumesTest, SizesAreRoundedUpToSectors) {
  const auto facts = create(volume(1'000'001));
  ASSERT_TRUE(facts.has_value()) << facts.error().to_text();
  EXPECT_EQ(facts->capacity_bytes, 1'000'448U);
}

TEST_F(VolumesTest, ImpossibleRequestsAreRefused) {
  EXPECT_EQ(word_of(create(volume(0))), "capacity_out_of_range");
  EXPECT_EQ(word_of(create(volume(1ULL << 60U))), "capacity_out_of_range");
  auto request = volume(kMiB);
  request.volume_id = "vol-../../../etc";
  EXPECT_EQ(code_of(create(request)), ErrorCode::invalid_argument);
  request = volume(kMiB);
  request.pool.path = "pool";
  EXPECT_EQ(code_of(create(request)), ErrorCode::invalid_argument);
}

TEST_F(VolumesTest, RepeatedCallsChangeNothing) {
  ASSERT_TRUE(create(volume(64 * kMiB)).has_value());
  const auto inode = stat_of(volume_path(pool, kVolumeId, v1::VolumeSpec::QCOW2)).st_ino;
  const auto again = create(volume(64 * kMiB));
  ASSERT_TRUE(again.has_value()) << again.error().to_text();
  EXPECT_EQ(again->capacity_bytes, 64 * kMiB);
  EXPECT_EQ(stat_of(again->path).st_ino, inode);
  ASSERT_TRUE(remove(volume(0)).has_value());
  ASSERT_TRUE(remove(volume(0)).has_value());
  EXPECT_TRUE(files_of_pool().empty());
}

TEST_F(VolumesTest, AVolumeMovesToAnotherUser) {
  ASSERT_TRUE(create(volume(kMiB)).has_value());
  auto request = volume(kMiB);
  request.uid = kUid + 1;
  const auto moved = create(request);
  ASSERT_TRUE(moved.has_value()) << moved.error().to_text();
  EXPECT_EQ(stat_of(moved->path).st_uid, kUid + 1);
  request.uid = 0;
  ASSERT_TRUE(inspect(request).has_value());
  EXPECT_EQ(stat_of(moved->path).st_uid, kUid + 1);
}

TEST_F(VolumesTest, OverlaysNameTheirImagesFormat) {
  auto request = volume(0);
  request.image_path = make_image(2 * kMiB);
  const auto facts = create(request);
  ASSERT_TRUE(facts.has_value()) << facts.error().to_text();
  EXPECT_EQ(facts->capacity_bytes, 2 * kMiB);
  const std::string info = run({"qemu-img", "info", facts->path});
  EXPECT_NE(info.find("backing file: " + request.image_path), std::string::npos) << info;
  EXPECT_NE(info.find("backing file format: qcow2"), std::string::npos) << info;
  EXPECT_EQ(inspect(request)->capacity_bytes, 2 * kMiB);
}

TEST_F(VolumesTest, RawVolumesAreCopiesOfTheirImage) {
  auto request = volume(8 * kMiB, v1::VolumeSpec::RAW);
  request.image_path = make_image(2 * kMiB);
  const auto facts = create(request);
  ASSERT_TRUE(facts.has_value()) << facts.error().to_text();
  EXPECT_EQ(facts->capacity_bytes, 8 * kMiB);
  const std::string content = read_text(facts->path);
  EXPECT_EQ(content.size(), 8 * kMiB);
  EXPECT_EQ(content.substr(0, 256ULL << 10U), noise(256ULL << 10U));
  ASSERT_FALSE(progress.empty());
  EXPECT_EQ(progress.back().percent(), 100U);
}

TEST_F(VolumesTest, ImagesThatDoNotFitOrAreGoneAreRefused) {
  auto request = volume(kMiB);
  request.image_path = make_image(2 * kMiB);
  EXPECT_EQ(word_of(create(request)), "capacity_out_of_range");
  request.capacity_bytes = 0;
  request.image_path = pool + "/images/gone.qcow2";
  EXPECT_EQ(word_of(create(request)), "image_missing");
  EXPECT_EQ(files_of_pool().size(), 1U);
}

TEST_F(VolumesTest, AnOverlayWithoutItsImageIsCorrupt) {
  auto request = volume(0);
  request.image_path = make_image(2 * kMiB);
  ASSERT_TRUE(create(request).has_value());
  std::filesystem::remove(request.image_path);
  EXPECT_EQ(code_of(inspect(request)), ErrorCode::corrupt);
  EXPECT_EQ(word_of(inspect(request)), "image_missing");
}

TEST_F(VolumesTest, AnOverlayWhoseImagesPoolIsNotMountedIsNotCorrupt) {
  auto request = volume(0);
  request.image_path = make_image(2 * kMiB);
  request.pool.path = directory.path("other-pool");
  ASSERT_TRUE(create(request).has_value());
  std::filesystem::rename(pool, directory.path("elsewhere"));
  EXPECT_EQ(code_of(inspect(request)), ErrorCode::unavailable);
  EXPECT_EQ(word_of(inspect(request)), "pool_unusable");
}

// As a guest could rewrite its volume after it took its QEMU over.
TEST_F(VolumesTest, VolumesThatReferToOtherFilesAreRefused) {
  auto request = volume(0);
  request.image_path = make_image(2 * kMiB);
  const auto facts = create(request);
  ASSERT_TRUE(facts.has_value()) << facts.error().to_text();
  const std::string other = directory.path("other.qcow2");
  run({"qemu-img", "create", "-f", "qcow2", other, "2M"});
  run({"qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", other, facts->path});
  EXPECT_EQ(word_of(inspect(request)), "image_corrupt");
  // Also while the image is not known.
  request.image_path.clear();
  EXPECT_EQ(word_of(inspect(request)), "image_corrupt");

  std::filesystem::remove(facts->path);
  const std::string data = directory.path("data.raw");
  run({"qemu-img", "create", "-f", "qcow2", "-o", "data_file=" + data, facts->path, "1M"});
  EXPECT_EQ(word_of(inspect(request)), "image_corrupt");
}

TEST_F(VolumesTest, MissingAndDamagedFilesAreToldApart) {
  EXPECT_EQ(code_of(inspect(volume(0))), ErrorCode::not_found);
  EXPECT_EQ(word_of(inspect(volume(0))), "volume_missing");
  const auto facts = create(volume(kMiB));
  ASSERT_TRUE(facts.has_value());
  damage(facts->path, 0, "not a disk");
  EXPECT_EQ(code_of(inspect(volume(0))), ErrorCode::corrupt);
  EXPECT_EQ(word_of(inspect(volume(0))), "image_corrupt");
}

TEST_F(VolumesTest, AVolumeQemuMarkedAsDamagedIsCorrupt) {
  const auto facts = create(volume(kMiB));
  ASSERT_TRUE(facts.has_value());
  // The incompatible feature bit 1 of docs/interop/qcow2.txt.
  damage(facts->path, 79, "\x02");
  EXPECT_EQ(word_of(inspect(volume(0))), "image_corrupt");
}

TEST_F(VolumesTest, ADamagedImageIsNamedByTheVolumesOnIt) {
  auto request = volume(0);
  request.image_path = make_image(2 * kMiB);
  const auto facts = create(request);
  ASSERT_TRUE(facts.has_value());
  // Its first bytes, and then the place of its table (docs/interop/qcow2.txt).
  for (const std::uint64_t offset : {0U, 40U}) {
    const std::string sound = read_text(request.image_path).substr(offset, 8);
    damage(request.image_path, offset, std::string(8, '\xff'));
    const auto broken = inspect(request);
    EXPECT_EQ(word_of(broken), "image_corrupt");
    EXPECT_NE(broken.error().cause.find(request.image_path), std::string::npos) << broken.error().to_text();
    damage(request.image_path, offset, sound);
    EXPECT_TRUE(inspect(request).has_value());
  }
}

TEST_F(VolumesTest, VolumesGrowOnly) {
  for (const auto format : {v1::VolumeSpec::QCOW2, v1::VolumeSpec::RAW}) {
    ASSERT_TRUE(create(volume(kMiB, format)).has_value());
    const auto grown = resize(volume(4 * kMiB, format));
    ASSERT_TRUE(grown.has_value()) << grown.error().to_text();
    EXPECT_EQ(grown->capacity_bytes, 4 * kMiB);
    EXPECT_EQ(resize(volume(4 * kMiB, format))->capacity_bytes, 4 * kMiB);
    EXPECT_EQ(word_of(resize(volume(kMiB, format))), "capacity_out_of_range");
    EXPECT_EQ(stat_of(grown->path).st_uid, kUid);
  }
  auto gone = volume(kMiB);
  gone.volume_id = "vol-zzzzzzzzzzzz";
  EXPECT_EQ(word_of(resize(gone)), "volume_missing");
}

TEST_F(VolumesTest, AVolumeInUseIsNotResized) {
  const auto facts = create(volume(kMiB));
  ASSERT_TRUE(facts.has_value());
  runtime::ProcessRequest holder;
  holder.argv = {"sh", "-c", "while :; do qemu-io -f qcow2 -c 'sleep 600000' " + facts->path + "; done"};
  holder.timeout_ms = 600'000;
  holder.cancel = std::make_shared<std::atomic<bool>>(false);
  std::thread holding([&] { (void)runtime::run_process(holder); });
  runtime::ProcessRequest locked;
  locked.argv = {"qemu-img", "info", facts->path};
  bool seen = false;
  for (int i = 0; i < 1000 && !seen; ++i) seen = !runtime::run_process(locked).has_value();
  EXPECT_TRUE(seen);
  EXPECT_TRUE(inspect(volume(0)).has_value());
  EXPECT_EQ(word_of(resize(volume(2 * kMiB))), "volume_in_use");
  holder.cancel->store(true);
  holding.join();
  EXPECT_TRUE(resize(volume(2 * kMiB)).has_value());
}

TEST_F(VolumesTest, AFullPoolIsSaidToBeFullAndKeepsNothing) {
  mounts.mount(pool, "256k");
  ASSERT_TRUE(inspect_pool().has_value());
  write_text(pool + "/images/filler", std::string(200ULL << 10U, 'x'));
  const auto refused = create(volume(64 * kMiB));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(code_of(refused), ErrorCode::out_of_space);
  EXPECT_EQ(word_of(refused), "pool_full");
  EXPECT_EQ(files_of_pool(), std::vector<std::string>{"images/filler"});
  std::filesystem::remove(pool + "/images/filler");
  EXPECT_TRUE(create(volume(64 * kMiB)).has_value());
}

TEST_F(VolumesTest, ACopyThatFillsThePoolIsRemoved) {
  auto request = volume(0, v1::VolumeSpec::RAW);
  request.image_path = make_image(2 * kMiB);
  request.pool.path = directory.path("small");
  pool = request.pool.path;
  mounts.mount(pool, "128k");
  EXPECT_EQ(word_of(create(request)), "pool_full");
  EXPECT_TRUE(files_of_pool().empty());
}

// A qemu-img whose copies never end.
class StuckQemuImg {
 public:
  explicit StuckQemuImg(const std::string& directory) : pid_file_(directory + "/stuck.pid") {
    write_text(directory + "/qemu-img", "#!/bin/sh\n[ \"$1\" = convert ] || exec /usr/bin/qemu-img \"$@\"\necho $$ > " +
                                            pid_file_ + "\nsleep 3600\n");
    std::filesystem::permissions(directory + "/qemu-img", std::filesystem::perms(0755));
    write_text(pid_file_, "");
    std::filesystem::permissions(pid_file_, std::filesystem::perms(0666));
    ::setenv("PATH", (directory + ":" + path_).c_str(), 1);
  }
  StuckQemuImg(const StuckQemuImg&) = delete;
  StuckQemuImg& operator=(const StuckQemuImg&) = delete;
  ~StuckQemuImg() { ::setenv("PATH", path_.c_str(), 1); }

  // 0 before it copies.
  [[nodiscard]] pid_t pid() const { return std::atoi(read_text(pid_file_).c_str()); }
  [[nodiscard]] bool lives() const { return pid() != 0 && ::kill(pid(), 0) == 0; }

 private:
  std::string path_ = std::getenv("PATH");
  std::string pid_file_;
};

// Who ran each qemu-img, by a program before it in PATH.
class WatchedQemuImg {
 public:
  explicit WatchedQemuImg(const std::string& directory) : users_file_(directory + "/users") {
    write_text(directory + "/qemu-img", "#!/bin/sh\nid -u >> " + users_file_ + "\nexec /usr/bin/qemu-img \"$@\"\n");
    std::filesystem::permissions(directory + "/qemu-img", std::filesystem::perms(0755));
    write_text(users_file_, "");
    std::filesystem::permissions(users_file_, std::filesystem::perms(0666));
    ::setenv("PATH", (directory + ":" + path_).c_str(), 1);
  }
  WatchedQemuImg(const WatchedQemuImg&) = delete;
  WatchedQemuImg& operator=(const WatchedQemuImg&) = delete;
  ~WatchedQemuImg() { ::setenv("PATH", path_.c_str(), 1); }

  [[nodiscard]] std::set<std::string> users() const {
    std::istringstream lines(read_text(users_file_));
    return {std::istream_iterator<std::string>(lines), {}};
  }

 private:
  std::string path_ = std::getenv("PATH");
  std::string users_file_;
};

TEST_F(VolumesTest, RootNeverOpensWhatAnImageHolds) {
  const WatchedQemuImg watched(directory.path());
  auto request = volume(0);
  request.image_path = make_image(2 * kMiB);
  ASSERT_TRUE(inspect(upload()).has_value());
  EXPECT_EQ(watched.users(), std::set<std::string>{std::to_string(model::guest_uid(kImageId))});
  for (const std::uint32_t uid : {kUid, 0U}) {
    request.uid = uid;
    for (const auto format : {v1::VolumeSpec::QCOW2, v1::VolumeSpec::RAW}) {
      request.format = format;
      const auto made = create(request);
      ASSERT_TRUE(made.has_value()) << made.error().to_text();
      EXPECT_EQ(stat_of(made->path).st_uid, uid != 0 ? uid : model::guest_uid(kVolumeId));
      EXPECT_EQ(stat_of(made->path).st_mode & 0777U, 0600U);
      ASSERT_TRUE(inspect(request).has_value());
      ASSERT_TRUE(remove(request).has_value());
    }
  }
  EXPECT_FALSE(watched.users().contains("0"));
  EXPECT_EQ(watched.users().size(), 3U);
}

TEST_F(VolumesTest, DeletingEndsTheProcessOfALongCopy) {
  auto request = volume(0, v1::VolumeSpec::RAW);
  request.image_path = make_image(2 * kMiB);
  const StuckQemuImg stuck(directory.path());
  std::optional<Result<port::VolumeFacts>> created;
  storage->create_volume(request, {}, [&](Result<port::VolumeFacts> result) { created = std::move(result); });
  ASSERT_TRUE(executor.pump_until([&] { return stuck.lives(); }));
  EXPECT_TRUE(remove(request).has_value());
  EXPECT_FALSE(stuck.lives());
  ASSERT_TRUE(created.has_value());
  EXPECT_EQ(code_of(*created), ErrorCode::cancelled);
  EXPECT_EQ(files_of_pool(), std::vector<std::string>{"images/img-0123456789ab.qcow2"});
}

TEST_F(VolumesTest, DeletingAnImageEndsTheProcessOfItsConversion) {
  ASSERT_TRUE(inspect_pool().has_value());
  write_text(upload_path(pool, kImageId), std::string(2 * kMiB, 'x'));
  const StuckQemuImg stuck(directory.path());
  std::optional<Result<port::ImageFacts>> imported;
  storage->import_image(upload(), {}, [&](Result<port::ImageFacts> result) { imported = std::move(result); });
  ASSERT_TRUE(executor.pump_until([&] { return stuck.lives(); }));
  EXPECT_TRUE(remove(upload()).has_value());
  EXPECT_FALSE(stuck.lives());
  ASSERT_TRUE(imported.has_value());
  EXPECT_EQ(code_of(*imported), ErrorCode::cancelled);
  EXPECT_TRUE(files_of_pool().empty());
}

TEST_F(VolumesTest, DeletingDoesNotWaitForTheCopiesOfOthers) {
  auto request = volume(0, v1::VolumeSpec::RAW);
  request.image_path = make_image(2 * kMiB);
  std::promise<void> others_end;
  const auto end = others_end.get_future().share();
  for (int i = 0; i < 2; ++i) slow.submit([end] { end.wait(); });
  std::optional<Result<port::VolumeFacts>> created;
  storage->create_volume(request, {}, [&](Result<port::VolumeFacts> result) { created = std::move(result); });
  EXPECT_TRUE(remove(request).has_value());
  ASSERT_TRUE(created.has_value());
  EXPECT_EQ(code_of(*created), ErrorCode::cancelled);
  others_end.set_value();
  // What was given up is not begun afterwards.
  EXPECT_TRUE(create(volume(kMiB)).has_value());
  EXPECT_TRUE(remove(volume(kMiB)).has_value());
  EXPECT_EQ(files_of_pool(), std::vector<std::string>{"images/img-0123456789ab.qcow2"});
}

TEST_F(VolumesTest, DeletingEndsACopyUnderWay) {
  auto request = volume(0, v1::VolumeSpec::RAW);
  request.image_path = make_image(2 * kMiB);
  std::optional<Result<port::VolumeFacts>> created;
  storage->create_volume(request, {}, [&](Result<port::VolumeFacts> result) { created = std::move(result); });
  EXPECT_TRUE(remove(request).has_value());
  ASSERT_TRUE(created.has_value());
  if (!*created) {
    EXPECT_EQ(created->error().code, ErrorCode::cancelled);
  }
  EXPECT_EQ(files_of_pool(), std::vector<std::string>{"images/img-0123456789ab.qcow2"});
}

}  // namespace
}  // namespace gantry::storage
