// Pools of Ceph, by programs that stand for Ceph's own.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>

#include "model/rbd_location.h"
#include "storage/paths.h"
#include "storage/rbd_answers.h"
#include "storage/rbd_tools.h"
#include "storage/testing_ceph.h"

namespace gantry::storage {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kPoolId[] = "pool-0123456789ab";
constexpr char kOtherPoolId[] = "pool-aaaaaaaaaaaa";
constexpr char kAlpha[] = "host-aaaaaaaaaaaa";
constexpr char kBeta[] = "host-bbbbbbbbbbbb";
constexpr char kKey[] = "AQBTJcdlAAAAABAAGqKeB1pzxnBIr3lUcUyRtg==";

class RbdTest : public StorageTest {
 protected:
  RbdTest() { ::chmod(directory.path().c_str(), 0711); }

  [[nodiscard]] std::string configuration() const { return directory.path("state/pool-0123456789ab.conf"); }
  [[nodiscard]] port::PoolRequest of(const std::string& host = kAlpha, bool is_new = false) const {
    port::PoolRequest request{
        .path = model::to_text(
            {.user = "gantry", .pool = "vms", .name_space = "", .image = "", .configuration = configuration()}),
        .is_new = is_new,
        .shared_id = kPoolId,
        .worker = host};
    request.rbd.set_pool("vms");
    request.rbd.set_user("gantry");
    request.rbd.set_key(kKey);
    request.rbd.add_monitors("10.0.0.1");
    return request;
  }
  Result<v1::PoolStatus> inspect_as(const std::string& host, bool is_new = false) {
    return wait<v1::PoolStatus>([&](auto done) { storage->inspect_pool(of(host, is_new), done); });
  }
  Result<void> release() {
    return wait<void>([&](auto done) { storage->release_pool(of(), done); });
  }
  void make() {
    const auto made = inspect_as(kAlpha, true);
    ASSERT_TRUE(made) << made.error().to_text();
  }
  [[nodiscard]] port::VolumeRequest volume_of(const std::string& host = kAlpha) const {
    port::VolumeRequest request = volume(10 * kMiB, v1::VolumeSpec::RAW);
    request.pool = of(host);
    return request;
  }
  [[nodiscard]] port::ImageRequest image_of(const std::string& host = kAlpha) const {
    port::ImageRequest request = upload();
    request.pool = of(host);
    return request;
  }
  [[nodiscard]] std::string local() const { return directory.path("state/pool-0123456789ab"); }
  void send(const std::string& content) const {
    fs::create_directories(uploads_directory(local()));
    write_text(upload_path(local(), kImageId), content);
  }
  static std::string fresh(const std::string& name, const std::string& host = kAlpha) {
    return name + "." + host + ".new";
  }

  FakeCeph ceph{directory.path("fake")};
};

TEST_F(RbdTest, APoolIsMadeOnceAndSaysWhoseItIs) {
  EXPECT_EQ(word_of(inspect_as(kAlpha)), "pool_unusable");
  EXPECT_EQ(ceph.object("gantry-pool"), "none");
  const auto made = inspect_as(kAlpha, true);
  ASSERT_TRUE(made) << made.error().to_text();
  EXPECT_EQ(ceph.object("gantry-pool"), std::string(kPoolId) + "\n");
  EXPECT_EQ(made->state(), v1::PoolStatus::READY);
  EXPECT_EQ(made->capacity_bytes(), 4000U);
  EXPECT_EQ(made->available_bytes(), 3000U);
  EXPECT_EQ(made->allocation_bytes(), 1000U);
  EXPECT_EQ(word_of(inspect_as(kBeta)), "done");
  EXPECT_EQ(word_of(inspect_as(kAlpha, true)), "done");
}

TEST_F(RbdTest, WhatReachesCephIsKeptForThisMachineAlone) {
  make();
  for (const std::string& path : {configuration(), directory.path("state/pool-0123456789ab.keyring")}) {
    EXPECT_EQ(fs::status(path).permissions(), fs::perms::owner_read | fs::perms::owner_write) << path;
  }
  EXPECT_THAT(read_text(configuration()), HasSubstr("mon_host = 10.0.0.1\n"));
  EXPECT_THAT(read_text(directory.path("state/pool-0123456789ab.keyring")), HasSubstr(kKey));
  EXPECT_EQ(read_text(configuration()).find(kKey), std::string::npos);
  EXPECT_EQ(ceph.calls().find(kKey), std::string::npos);
}

TEST_F(RbdTest, AnotherPoolOfGantryHasIt) {
  ceph.put_object("gantry-pool", std::string(kOtherPoolId) + "\n");
  for (const bool is_new : {false, true}) {
    const auto refused = inspect_as(kAlpha, is_new);
    EXPECT_EQ(word_of(refused), "pool_unusable");
    EXPECT_THAT(refused.error().to_text(), HasSubstr(kOtherPoolId));
  }
  EXPECT_EQ(word_of(create(volume_of())), "pool_unusable");
  ASSERT_TRUE(release());
  EXPECT_EQ(ceph.object("gantry-pool"), std::string(kOtherPoolId) + "\n");
}

TEST_F(RbdTest, APoolWithOthersImagesIsLeftAlone) {
  ceph.put_image("somebodys", kMiB);
  const auto refused = inspect_as(kAlpha, true);
  EXPECT_EQ(word_of(refused), "pool_unusable");
  EXPECT_THAT(refused.error().to_text(), HasSubstr("somebodys"));
  EXPECT_EQ(ceph.object("gantry-pool"), "none");
}

TEST_F(RbdTest, OfTwoThatMakeItAtOnceOneWaits) {
  write_text(directory.path("fake/ceph/locked"), "");
  const auto refused = inspect_as(kAlpha, true);
  EXPECT_EQ(word_of(refused), "pool_unusable");
  EXPECT_THAT(refused.error().to_text(), HasSubstr("at this moment"));
}

TEST_F(RbdTest, WhatIsWrongWithThePoolIsTold) {
  make();
  const std::pair<const char*, const char*> words[] = {
      {"rbd: couldn't connect to the cluster!\nrbd: listing images failed: (110) Connection timed out",
       "Ceph does not answer"},
      {"rbd: couldn't connect to the cluster!\nrbd: listing images failed: (1) Operation not permitted",
       "Ceph refuses user \"gantry\""},
      {"rbd: error opening pool 'vms': (2) No such file or directory", "error opening pool 'vms'"},
      {"rbd: namespace 'blue' does not exist.", "namespace 'blue' does not exist"}};
  for (const auto& [said, expected] : words) {
    ceph.fail_next("rbd ls", said);
    const auto refused = inspect_as(kAlpha);
    EXPECT_EQ(code_of(refused), ErrorCode::unavailable);
    EXPECT_EQ(word_of(refused), "pool_unusable");
    EXPECT_THAT(refused.error().to_text(), HasSubstr(expected));
    EXPECT_EQ(refused.error().to_text().find("a line of the log"), std::string::npos);
  }
  EXPECT_EQ(word_of(inspect_as(kAlpha)), "done");
}

TEST_F(RbdTest, APoolThatGoesLeavesNothingButIsNotNeededForIt) {
  make();
  ASSERT_TRUE(release());
  EXPECT_EQ(ceph.object("gantry-pool"), "none");
  EXPECT_TRUE(fs::is_empty(directory.path("state")));
  ceph.fail_next("rados get", "failed to fetch mon config (--no-mon-config to skip)");
  ASSERT_TRUE(release());
  EXPECT_TRUE(fs::is_empty(directory.path("state")));
}

TEST_F(RbdTest, AVolumeIsMadeGrownAndDeleted) {
  make();
  const auto made = create(volume_of());
  ASSERT_TRUE(made) << made.error().to_text();
  EXPECT_EQ(made->path, "rbd:gantry@vms//" + std::string(kVolumeId) + ":" + configuration());
  EXPECT_EQ(made->capacity_bytes, 10 * kMiB);
  EXPECT_EQ(made->allocation_bytes, 4096U);
  EXPECT_THAT(ceph.images(), ElementsAre(kVolumeId));
  ASSERT_TRUE(create(volume_of(kBeta)));
  port::VolumeRequest larger = volume_of();
  larger.capacity_bytes = 20 * kMiB + 1;
  EXPECT_EQ(resize(larger)->capacity_bytes, 20 * kMiB + 512);
  EXPECT_EQ(word_of(resize(volume_of())), "capacity_out_of_range");
  ASSERT_TRUE(remove(volume_of()));
  ASSERT_TRUE(remove(volume_of()));
  EXPECT_THAT(ceph.images(), ElementsAre());
  EXPECT_EQ(word_of(inspect(volume_of())), "volume_missing");
}

TEST_F(RbdTest, AVolumeThatIsOpenStaysAndIsDeletedLater) {
  make();
  ASSERT_TRUE(create(volume_of()));
  ceph.set_open(kVolumeId, true);
  const auto refused = remove(volume_of());
  EXPECT_EQ(code_of(refused), ErrorCode::conflict);
  EXPECT_EQ(word_of(refused), "volume_in_use");
  ceph.set_open(kVolumeId, false);
  EXPECT_EQ(word_of(remove(volume_of())), "done");
}

TEST_F(RbdTest, AFullPoolIsNamedAndNothingIsLeft) {
  make();
  ceph.fail_next("rbd create", "rbd: create error: (28) No space left on device");
  EXPECT_EQ(word_of(create(volume_of())), "pool_full");
  ceph.fail_next("rbd rename", "rbd: rename error: (122) Disk quota exceeded");
  EXPECT_EQ(word_of(create(volume_of())), "pool_full");
  EXPECT_THAT(ceph.images(), ElementsAre());
}

TEST_F(RbdTest, WhatIsHalfMadeIsTidiedByItsMaker) {
  make();
  ceph.put_image(fresh(kVolumeId), kMiB);
  ceph.put_image(fresh(kVolumeId, kBeta), kMiB);
  ASSERT_TRUE(inspect_as(kAlpha));
  EXPECT_THAT(ceph.images(), ElementsAre(fresh(kVolumeId, kBeta)));
  ceph.put_image(fresh(kVolumeId), kMiB);
  ASSERT_TRUE(create(volume_of()));
  EXPECT_THAT(ceph.images(), ElementsAre(kVolumeId, fresh(kVolumeId, kBeta)));
  ASSERT_TRUE(remove(volume_of()));
  EXPECT_THAT(ceph.images(), ElementsAre());
}

TEST_F(RbdTest, WhatIsHalfMadeAndStillOpenKeepsNothingElseOfItsMaker) {
  make();
  for (const char* id : {"vol-000000000000", kVolumeId, "vol-zzzzzzzzzzzz"}) ceph.put_image(fresh(id), kMiB);
  ceph.set_open(fresh(kVolumeId), true);
  ASSERT_TRUE(inspect_as(kAlpha));
  EXPECT_THAT(ceph.images(), ElementsAre(fresh(kVolumeId)));
}

// By the old name the content of a volume that is in use would be removed.
TEST_F(RbdTest, ARenamingThatWasCutShortHarmsNothing) {
  make();
  ASSERT_TRUE(create(volume_of()));
  ceph.put_name(fresh(kVolumeId), kVolumeId);
  ASSERT_TRUE(inspect_as(kAlpha));
  ASSERT_TRUE(create(volume_of()));
  EXPECT_EQ(inspect(volume_of())->capacity_bytes, 10 * kMiB);
  ASSERT_TRUE(remove(volume_of()));
  EXPECT_THAT(ceph.images(), ElementsAre());
}

TEST_F(RbdTest, AnAnswerThatWasLostIsNoSecondVolume) {
  make();
  ceph.fail_next("rbd rename", "rbd: rename error: (110) Connection timed out", true);
  EXPECT_EQ(code_of(create(volume_of())), ErrorCode::unavailable);
  EXPECT_THAT(ceph.images(), ElementsAre(kVolumeId));
  EXPECT_EQ(word_of(create(volume_of())), "done");
}

TEST_F(RbdTest, AnImageIsASnapshotAndVolumesAreItsClones) {
  make();
  const std::string content = noise(kMiB);
  send(content);
  const auto image = import(image_of());
  ASSERT_TRUE(image) << image.error().to_text();
  EXPECT_EQ(image->path, "rbd:gantry@vms//" + std::string(kImageId) + ":" + configuration());
  EXPECT_EQ(image->virtual_size_bytes, kMiB);
  EXPECT_EQ(ceph.content(kImageId), content);
  // Nothing is left of it on this host.
  for (const auto& path : {images_directory(local()), uploads_directory(local())}) EXPECT_TRUE(fs::is_empty(path));
  port::VolumeRequest request = volume_of();
  request.image_path = image->path;
  EXPECT_EQ(create(request)->capacity_bytes, 10 * kMiB);
  EXPECT_THAT(ceph.images(), ElementsAre(kImageId, kVolumeId));
  EXPECT_EQ(word_of(remove(image_of())), "volume_in_use");
  ASSERT_TRUE(remove(volume_of()));
  ASSERT_TRUE(remove(image_of()));
  ASSERT_TRUE(remove(image_of()));
  EXPECT_THAT(ceph.images(), ElementsAre());
  EXPECT_EQ(word_of(inspect(image_of())), "image_missing");
}

TEST_F(RbdTest, AVolumeIsNoSmallerThanItsImageAndOfItsPool) {
  make();
  send(noise(kMiB));
  const auto image = import(image_of());
  ASSERT_TRUE(image);
  port::VolumeRequest request = volume_of();
  request.image_path = image->path;
  request.capacity_bytes = kMiB / 2;
  EXPECT_EQ(word_of(create(request)), "capacity_out_of_range");
  request.image_path = "rbd:gantry@other//" + std::string(kImageId) + ":" + configuration();
  EXPECT_EQ(code_of(create(request)), ErrorCode::unsupported);
  request.image_path = "rbd:gantry@vms//img-bbbbbbbbbbbb:" + configuration();
  EXPECT_EQ(word_of(create(request)), "image_missing");
  EXPECT_THAT(ceph.images(), ElementsAre(kImageId));
}

TEST_F(RbdTest, AnImportThatIsCutShortGoesOnFromWhatWasSent) {
  make();
  const std::string content = noise(kMiB);
  send(content);
  for (const char* verb : {"rbd import", "rbd snap protect", "rbd rename"}) {
    ceph.fail_next(verb, "rbd: failed: (110) Connection timed out");
    EXPECT_EQ(code_of(import(image_of())), ErrorCode::unavailable) << verb;
    EXPECT_THAT(ceph.images(), ElementsAre()) << verb;
  }
  ASSERT_TRUE(import(image_of()));
  EXPECT_EQ(ceph.content(kImageId), content);
  // As a daemon leaves it that is killed just then.
  send(content);
  ASSERT_TRUE(inspect(image_of()));
  EXPECT_TRUE(fs::is_empty(uploads_directory(local())));
}

TEST_F(RbdTest, AVolumeCanBeACopyOfAnImageInADirectory) {
  make();
  const std::string path = make_image(kMiB);
  port::VolumeRequest request = volume_of();
  request.image_path = path;
  const auto made = create(request);
  ASSERT_TRUE(made) << made.error().to_text();
  EXPECT_EQ(made->capacity_bytes, 10 * kMiB);
  run({"qemu-img", "convert", "-O", "raw", path, directory.path("plain")});
  EXPECT_EQ(ceph.content(kVolumeId), read_text(directory.path("plain")));
  EXPECT_TRUE(fs::is_empty(volumes_directory(local())));
}

TEST_F(RbdTest, AKernelIsRefused) {
  make();
  port::ImageRequest request = image_of();
  request.spec.set_kind(v1::ImageSpec::KERNEL);
  EXPECT_EQ(word_of(import(request)), "kernel_in_ceph");
}

TEST(RbdAnswers, WhatIsNoAnswerIsNone) {
  for (const char* json : {"", "{}", "[]", "[1]", "{\"size\":-1}", "{\"images\":{}}", "{\"images\":[{}]}",
                           "{\"pools\":1}", "{\"pools\":[{\"name\":\"vms\"}]}", "[{}]", "{\"size\":1}"}) {
    EXPECT_FALSE(rbd::parse_image(json)) << json;
    EXPECT_FALSE(rbd::parse_used_bytes(json)) << json;
    EXPECT_FALSE(rbd::parse_pool(json, "vms")) << json;
  }
  EXPECT_FALSE(rbd::parse_names("[1]"));
  EXPECT_FALSE(rbd::parse_snapshots("[{}]"));
  EXPECT_EQ(rbd::parse_used_bytes(R"({"images":[{"used_size":1},{"used_size":2}]})").value_or(0), 3U);
}

}  // namespace
}  // namespace gantry::storage
