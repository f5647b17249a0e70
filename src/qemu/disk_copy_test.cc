// Disks that are copied while their guest runs, by real QEMU processes under TCG.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>

#include <filesystem>
#include <fstream>
#include <future>

#include "qemu/disk_nodes.h"
#include "qemu/test_fixture.h"

namespace gantry::qemu {
namespace {

using State = port::GuestObservation::State;
using testing::HasSubstr;

constexpr std::uint64_t kSlow = 1U << 20U;

class DiskCopyTest : public GuestTest {
 protected:
  void SetUp() override {
    GuestTest::SetUp();
    copy_ = state_ + "/copy.raw";
    // So that it takes a while at kSlow.
    std::fstream disk(disk_, std::ios::in | std::ios::out);
    disk.seekp(16U << 10U) << std::string(std::size_t{12} << 20U, 'x');
    disk.close();
    make_copy(copy_);
    ASSERT_TRUE(agent_->start(guest("task-1")));
    ASSERT_TRUE(boots_reach(1));
  }

  void make_copy(const std::string& path) const {
    std::ofstream(path).close();
    std::filesystem::resize_file(path, std::filesystem::file_size(disk_));
    ASSERT_EQ(::chown(path.c_str(), uid_, uid_), 0);
  }
  [[nodiscard]] port::DiskCopyRequest request(std::uint64_t bytes_per_second_max = 0) const {
    port::DiskCopyRequest request{.id = "task-7", .index = 0, .copy = {}};
    request.copy = {.path = copy_, .format = v1::VolumeSpec::RAW, .volume_id = "vol-copy"};
    request.bytes_per_second_max = bytes_per_second_max;
    return request;
  }
  std::future<Result<void>> begin(const port::DiskCopyRequest& request) {
    return std::async(std::launch::async, [this, request] {
      return agent_->call([&](port::DiskCopier& copier, const port::Done& done) {
        copier.copy_disk(
            vm_, request,
            [this](const port::DiskCopyProgress& progress) {
              const std::lock_guard lock(mutex_);
              last_ = progress;
            },
            done);
      });
    });
  }
  Result<void> copy() { return begin(request()).get(); }
  bool copies() {
    return becomes([&] {
      const std::lock_guard lock(mutex_);
      return last_.bytes_done > 0 && last_.bytes_left > 0;
    });
  }
  void begin_and_leave() {
    agent_->loop().post([&] {
      agent_->hypervisor().copy_disk(
          vm_, request(kSlow),
          [this](const port::DiskCopyProgress& progress) {
            const std::lock_guard lock(mutex_);
            last_ = progress;
          },
          [](const Result<void>&) {});
    });
    ASSERT_TRUE(copies());
  }
  void writes() const {
    Screen screen(agent_->consoles(), vm_);
    screen.type("w");
    EXPECT_TRUE(screen.shows("W")) << "it cannot write its disk";
  }
  // Whether QEMU has it open.
  [[nodiscard]] bool has_open(const std::string& path) const {
    const std::string descriptors = "/proc/" + std::to_string(pid()) + "/fd";
    for (const auto& entry : std::filesystem::directory_iterator(descriptors)) {
      std::error_code error;
      if (std::filesystem::read_symlink(entry.path(), error).string().rfind(path, 0) == 0) return true;
    }
    return false;
  }
  [[nodiscard]] DiskCopyNote note() const {
    const auto record = directory().load();
    return record ? record->disk_copy : DiskCopyNote();
  }
  static std::string content(const std::string& path) {
    return runtime::read_file(path).value_or("unreadable " + path);
  }
  void expect_old_disk() {
    EXPECT_EQ(agent_->last(vm_).disk_copy_id, "");
    EXPECT_FALSE(agent_->last(vm_).copies_disk);
    EXPECT_TRUE(agent_->reaches(vm_, State::running));
    EXPECT_FALSE(has_open(copy_));
    EXPECT_EQ(note().phase, DiskCopyNote::Phase::none);
    writes();
  }

  std::string copy_;
  std::mutex mutex_;
  port::DiskCopyProgress last_;
};

TEST_F(DiskCopyTest, TheGuestGoesOnWithTheCopy) {
  writes();
  const auto copied = copy();
  ASSERT_TRUE(copied) << copied.error().to_text();
  EXPECT_EQ(agent_->last(vm_).disk_copy_id, "task-7");
  EXPECT_FALSE(agent_->last(vm_).copies_disk);
  EXPECT_EQ(agent_->last(vm_).state, State::running);
  EXPECT_EQ(content(copy_), content(disk_));
  EXPECT_FALSE(has_open(disk_));
  // What it writes from now on goes to the copy alone.
  std::filesystem::remove(disk_);
  writes();
  EXPECT_EQ(note().phase, DiskCopyNote::Phase::switching);
  EXPECT_EQ(boots(), 1U);
}

TEST_F(DiskCopyTest, ItCanBeCopiedOnceMore) {
  ASSERT_TRUE(copy());
  auto back = request();
  back.id = "task-8";
  back.copy.volume_id = "vol-back";
  back.copy.path = state_ + "/back.raw";
  make_copy(back.copy.path);
  const auto copied = begin(back).get();
  ASSERT_TRUE(copied) << copied.error().to_text();
  EXPECT_EQ(agent_->last(vm_).disk_copy_id, "task-8");
  EXPECT_FALSE(has_open(copy_));
  EXPECT_TRUE(has_open(back.copy.path));
  writes();
}

TEST_F(DiskCopyTest, AnAgentThatComesBackKnowsIt) {
  ASSERT_TRUE(copy());
  restart_agent();
  EXPECT_EQ(agent_->last(vm_).disk_copy_id, "task-7");
  EXPECT_EQ(agent_->last(vm_).state, State::running);
  writes();
  ASSERT_TRUE(agent_->kill(vm_));
  EXPECT_EQ(agent_->last(vm_).disk_copy_id, "task-7") << "of the next boot's disk";
  restart_agent();
  EXPECT_EQ(agent_->last(vm_).disk_copy_id, "task-7");
}

TEST_F(DiskCopyTest, CancelledInTheMiddleItGoesOnWhereItWas) {
  auto copying = begin(request(kSlow));
  ASSERT_TRUE(copies());
  EXPECT_TRUE(agent_->last(vm_).copies_disk || note().phase == DiskCopyNote::Phase::copying);
  agent_->loop().post([&] { agent_->hypervisor().stop_copying(vm_); });
  const auto copied = copying.get();
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().code, ErrorCode::cancelled);
  expect_old_disk();
  // And can be tried again.
  const auto again = copy();
  EXPECT_TRUE(again) << again.error().to_text();
}

TEST_F(DiskCopyTest, ACancelIsHeardBeforeItBegan) {
  std::future<Result<void>> copying = begin(request(kSlow));
  agent_->loop().post([&] { agent_->hypervisor().stop_copying(vm_); });
  // Whichever came first.
  agent_->loop().post_after(500, [&] { agent_->hypervisor().stop_copying(vm_); });
  EXPECT_FALSE(copying.get());
  expect_old_disk();
}

TEST_F(DiskCopyTest, AFullTargetLeavesTheGuestWhereItIs) {
  const std::string small = state_ + "/small";
  std::filesystem::create_directory(small);
  ASSERT_EQ(::mount("small", small.c_str(), "tmpfs", 0, "size=256k,mode=755"), 0);
  auto wanted = request();
  wanted.copy.path = small + "/copy.raw";
  make_copy(wanted.copy.path);
  const auto copied = begin(wanted).get();
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().reason, "copy_failed");
  EXPECT_THAT(copied.error().cause, HasSubstr("No space left"));
  expect_old_disk();
  EXPECT_EQ(::umount2(small.c_str(), MNT_DETACH), 0);
}

TEST_F(DiskCopyTest, ACopyThatIsNotThereIsAnError) {
  auto wanted = request();
  wanted.copy.path = state_ + "/nothing";
  const auto copied = begin(wanted).get();
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().reason, "copy_failed");
  expect_old_disk();
  wanted = request();
  wanted.index = 3;
  EXPECT_FALSE(begin(wanted).get());
  expect_old_disk();
}

TEST_F(DiskCopyTest, AnAgentThatWasKilledInTheMiddleLeavesNothing) {
  begin_and_leave();
  restart_agent();
  expect_old_disk();
  const auto again = copy();
  EXPECT_TRUE(again) << again.error().to_text();
}

TEST_F(DiskCopyTest, AGuestThatIsKilledInTheMiddleHasItsOldDisk) {
  auto copying = begin(request(kSlow));
  ASSERT_TRUE(copies());
  ASSERT_EQ(::kill(pid(), SIGKILL), 0);
  EXPECT_FALSE(copying.get());
  ASSERT_TRUE(agent_->reaches(vm_, State::ended));
  EXPECT_EQ(agent_->last(vm_).disk_copy_id, "");
  EXPECT_FALSE(agent_->last(vm_).copies_disk);
}

// As if the agent had been killed just before it told QEMU to switch, or just after.
TEST_F(DiskCopyTest, WhatWasIntendedIsComparedWithWhatIs) {
  begin_and_leave();
  agent_.reset();
  rewrite_record([](GuestRecord& record) { record.disk_copy.phase = DiskCopyNote::Phase::switching; });
  agent_ = std::make_unique<Agent>(state_);
  expect_old_disk();

  ASSERT_TRUE(copy());
  agent_.reset();
  ASSERT_EQ(note().phase, DiskCopyNote::Phase::switching);
  ASSERT_EQ(::kill(pid(), SIGKILL), 0);
  agent_ = std::make_unique<Agent>(state_);
  ASSERT_TRUE(agent_->reaches(vm_, State::ended));
  EXPECT_EQ(agent_->last(vm_).disk_copy_id, "task-7");
}

// As if the agent had been killed between the switch and the end of a reset.
TEST_F(DiskCopyTest, IsSettledBeforeAResetIsFinished) {
  ASSERT_TRUE(copy());
  agent_.reset();
  rewrite_record([](GuestRecord& record) {
    record.phase = GuestRecord::Phase::resetting;
    record.reset_wanted = "task-reset";
    record.resume_after_reset = true;
  });
  agent_ = std::make_unique<Agent>(state_);
  EXPECT_TRUE(boots_reach(2)) << boots();
  EXPECT_TRUE(becomes([&] { return agent_->last(vm_).reset_id == "task-reset"; }));
  EXPECT_EQ(agent_->last(vm_).disk_copy_id, "task-7");
  EXPECT_TRUE(agent_->reaches(vm_, State::running));
  EXPECT_FALSE(has_open(disk_));
  writes();
}

TEST_F(DiskCopyTest, APausedGuestStaysPaused) {
  auto copying = begin(request(kSlow * 4));
  ASSERT_TRUE(copies());
  Result<void> copied = copying.get();
  ASSERT_TRUE(copied) << copied.error().to_text();
  ASSERT_TRUE(agent_->pause(vm_));
  restart_agent();
  EXPECT_EQ(agent_->last(vm_).state, State::paused);
  EXPECT_EQ(agent_->last(vm_).disk_copy_id, "task-7");
  ASSERT_TRUE(agent_->resume(vm_));
  writes();
}

TEST(DiskNodes, AreFoundByTheirDevice) {
  const std::string blocks =
      R"([{"qdev":"/machine/peripheral/disk1-device/virtio-backend","inserted":{"node-name":"disk1"}},)"
      R"({"qdev":"disk0-device","inserted":{"node-name":"vol-1"}},{"qdev":"disk2-device"},7])";
  EXPECT_EQ(node_of_disk(blocks, 0), "vol-1");
  EXPECT_EQ(node_of_disk(blocks, 1), "disk1");
  EXPECT_EQ(node_of_disk(blocks, 2), "");
  EXPECT_EQ(node_of_disk(blocks, 10), "");
  EXPECT_EQ(node_of_disk("no JSON", 0), "");
}

}  // namespace
}  // namespace gantry::qemu
