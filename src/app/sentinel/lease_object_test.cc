#include "app/sentinel/lease_object.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

namespace gantry::sentinel {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kObject = "gantry.lease.vm-1";

const model::RbdLocation& pool_location() {
  static const model::RbdLocation location{
      .user = "gantry", .pool = "vms", .name_space = {}, .image = {}, .configuration = "/s/ceph.conf"};
  return location;
}

std::string image_text(const std::string& pool, const std::string& image) {
  model::RbdLocation location = pool_location();
  location.pool = pool;
  location.image = image;
  return model::to_text(location);
}

// All that a Ceph knows, and what goes wrong with it.
struct FakeCeph {
  std::map<std::string, CephObject> objects;
  std::uint64_t version = 100;
  std::map<std::string, std::vector<CephImageClient>> clients;
  std::set<std::string> out;
  int connections = 0;
  std::optional<Error> trouble;
  // The answer of a write gets lost.
  bool forgets_answer = false;
  std::function<void()> when_listed;
};

class FakeClient final : public CephClient {
 public:
  FakeClient(FakeCeph& ceph, std::string pool) : ceph_(ceph), pool_(std::move(pool)) { ++ceph_.connections; }

  Result<std::optional<CephObject>> read(const std::string& object) override {
    if (ceph_.trouble) return fail(*ceph_.trouble);
    const auto found = ceph_.objects.find(object);
    if (found == ceph_.objects.end()) return std::nullopt;
    return found->second;
  }
  Result<std::uint64_t> create(const std::string& object, const std::string& bytes) override {
    if (ceph_.objects.contains(object)) return fail(ErrorCode::conflict, "there is one");
    return put(object, bytes);
  }
  Result<std::uint64_t> replace(const std::string& object, const std::string& bytes, std::uint64_t version) override {
    const auto found = ceph_.objects.find(object);
    const bool same = found != ceph_.objects.end() && found->second.version == version;
    return same ? put(object, bytes) : fail(ErrorCode::conflict, "another version");
  }
  Result<void> remove(const std::string& object) override {
    ceph_.objects.erase(object);
    return {};
  }
  Result<std::vector<CephImageClient>> clients_of(const std::string& image) override {
    auto found = ceph_.clients[pool_ + "/" + image];
    if (ceph_.when_listed) ceph_.when_listed();
    return found;
  }
  Result<void> shut_out(const std::vector<CephImageClient>& clients) override {
    for (const CephImageClient& client : clients) ceph_.out.insert(client.address);
    return {};
  }

 private:
  Result<std::uint64_t> put(const std::string& object, const std::string& bytes) {
    if (ceph_.trouble) return fail(*ceph_.trouble);
    ceph_.objects[object] = {.bytes = bytes, .version = ++ceph_.version};
    if (ceph_.forgets_answer) return fail(ErrorCode::timed_out, "no answer");
    return ceph_.version;
  }

  FakeCeph& ceph_;
  std::string pool_;
};

class LeaseObjectTest : public testing::Test {
 protected:
  LeaseObject open() {
    auto connect = [this](const model::RbdLocation& pool) -> Result<std::unique_ptr<CephClient>> {
      return std::make_unique<FakeClient>(ceph_, pool.pool);
    };
    return {std::make_shared<CephPool>(pool_location(), connect), "vm-1", "lane"};
  }
  static host::LeaseWrite write_of(const std::string& owner, std::uint64_t counter, bool create = false) {
    return {.record = {.owner = owner, .epoch = 1, .counter = counter}, .create = create};
  }
  static port::LeaseWish wish_of(std::vector<std::string> images) {
    port::LeaseWish wish;
    wish.images = std::move(images);
    return wish;
  }
  std::uint64_t counter_there() {
    auto other = open();
    const auto record = other.read();
    return record && *record ? (*record)->counter : 0;
  }

  FakeCeph ceph_;
};

TEST_F(LeaseObjectTest, IsMadeOnceAndWrittenOverWhatWasReadOrWritten) {
  auto lease = open();
  auto other = open();
  ASSERT_TRUE(lease.read());
  EXPECT_FALSE(*lease.read());
  EXPECT_TRUE(lease.write(write_of("host-a", 1, true)));
  EXPECT_FALSE(other.write(write_of("host-b", 1, true)));
  EXPECT_TRUE(lease.write(write_of("host-a", 2)));
  EXPECT_TRUE(lease.write(write_of("host-a", 3)));
  EXPECT_EQ(counter_there(), 3U);
  // Whoever has not looked knows not what it would write over.
  EXPECT_FALSE(other.write(write_of("host-b", 9)));
  ASSERT_TRUE(other.read());
  EXPECT_TRUE(lease.write(write_of("host-a", 4)));
  EXPECT_FALSE(other.write(write_of("host-b", 9)));
  EXPECT_EQ(counter_there(), 4U);
  EXPECT_TRUE(other.remove());
  EXPECT_TRUE(other.remove());
  EXPECT_FALSE(lease.write(write_of("host-a", 5)));
  EXPECT_THAT(ceph_.objects, IsEmpty());
}

TEST_F(LeaseObjectTest, AfterAWriteWithoutAnAnswerItLooksFirst) {
  auto lease = open();
  ASSERT_TRUE(lease.write(write_of("host-a", 1, true)));
  ceph_.forgets_answer = true;
  EXPECT_FALSE(lease.write(write_of("host-a", 2)));
  ceph_.forgets_answer = false;
  EXPECT_FALSE(lease.write(write_of("host-a", 3)));
  const auto found = lease.read();
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->counter, 2U);
  EXPECT_TRUE(lease.write(write_of("host-a", 4)));
}

TEST_F(LeaseObjectTest, WhatCannotBeReadIsNobodysAndMayBeReplaced) {
  ceph_.objects[kObject] = {.bytes = "torn", .version = 7};
  auto lease = open();
  const auto found = lease.read();
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->owner, "");
  EXPECT_TRUE(lease.write(write_of("host-a", 1)));
  EXPECT_EQ(counter_there(), 1U);
}

TEST_F(LeaseObjectTest, ConnectsAnewWhenShutOutAndWhenNothingAnswersForLong) {
  auto lease = open();
  ASSERT_TRUE(lease.read());
  ASSERT_TRUE(lease.read());
  EXPECT_EQ(ceph_.connections, 1);
  ceph_.trouble = Error{ErrorCode::unavailable, "shut out", "", "", kShutOutReason};
  EXPECT_FALSE(lease.read());
  ceph_.trouble.reset();
  EXPECT_TRUE(lease.read());
  EXPECT_EQ(ceph_.connections, 2);
  ceph_.trouble = Error{ErrorCode::timed_out, "silent"};
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(lease.read());
  EXPECT_EQ(ceph_.connections, 2);
  EXPECT_FALSE(lease.read());
  ceph_.trouble.reset();
  EXPECT_TRUE(lease.read());
  EXPECT_EQ(ceph_.connections, 3);
}

TEST_F(LeaseObjectTest, ShutsOutWhoHasTheImagesOpenWhereverTheyAre) {
  ceph_.clients["vms/vol-1"] = {{.address = "a:1"}, {.address = "a:2"}};
  ceph_.clients["fast/vol-2"] = {{.address = "a:3"}};
  ceph_.clients["vms/vol-9"] = {{.address = "c:1"}};
  auto lease = open();
  ASSERT_TRUE(lease.write(write_of("host-a", 1, true)));
  const auto seen = lease.read();
  EXPECT_TRUE(
      lease.fence(*seen, wish_of({image_text("vms", "vol-1"), image_text("fast", "vol-2"), "/pool/volumes/vol-3"})));
  EXPECT_THAT(ceph_.out, ElementsAre("a:1", "a:2", "a:3"));
}

// Those are of a host that came to it rightfully meanwhile.
TEST_F(LeaseObjectTest, ShutsOutNobodyWhenTheRecordIsAnother) {
  ceph_.clients["vms/vol-1"] = {{.address = "a:1"}};
  auto lease = open();
  ASSERT_TRUE(lease.write(write_of("host-a", 1, true)));
  const auto seen = lease.read();
  ceph_.when_listed = [&] { EXPECT_TRUE(lease.write(write_of("host-a", 2))); };
  const auto fenced = lease.fence(*seen, wish_of({image_text("vms", "vol-1")}));
  ASSERT_FALSE(fenced);
  EXPECT_THAT(fenced.error().summary, HasSubstr("was written meanwhile"));
  EXPECT_FALSE(lease.fence(std::nullopt, wish_of({})));
  EXPECT_THAT(ceph_.out, IsEmpty());
}

TEST_F(LeaseObjectTest, ShutsOutNobodyWhileItIsNotKnownFromWhereAll) {
  ceph_.clients["vms/vol-1"] = {{.address = "a:1"}};
  auto lease = open();
  ASSERT_TRUE(lease.write(write_of("host-a", 1, true)));
  const auto seen = lease.read();
  port::LeaseWish wish = wish_of({image_text("vms", "vol-1")});
  wish.lacks_images = true;
  EXPECT_FALSE(lease.fence(*seen, wish));
  EXPECT_THAT(ceph_.out, IsEmpty());
  wish.lacks_images = false;
  EXPECT_TRUE(lease.fence(*seen, wish));
  EXPECT_THAT(ceph_.out, ElementsAre("a:1"));
}

TEST(LeasePlacesTest, OfGuestsInOnePoolOfCephNotAllWaitForEachOther) {
  LeasePlaces places;
  port::LeaseWish wish;
  wish.directory = model::to_text(pool_location());
  std::set<std::string> lanes;
  for (int i = 0; i < 100; ++i) {
    wish.vm_id = "vm-" + std::to_string(i);
    const std::string lane = places.at(wish)->lane();
    EXPECT_EQ(places.at(wish)->lane(), lane) << "its reads and writes come one after another";
    lanes.insert(lane);
  }
  EXPECT_EQ(lanes.size(), 4U);
}

}  // namespace
}  // namespace gantry::sentinel
