// For tests of moves between two agents, each with its own state directory, by real QEMU processes under TCG.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "qemu/test_fixture.h"

namespace gantry::qemu {

inline constexpr std::uint64_t kSlow = 1U << 20U;

class MoveTest : public GuestTest {
 protected:
  void SetUp() override {
    GuestTest::SetUp();
    make_disk();
    other_state_ = state_ + "/other";
    std::filesystem::create_directory(other_state_);
    ASSERT_EQ(::chmod(other_state_.c_str(), 0711), 0);
    target_ = std::make_unique<Agent>(other_state_);
    ASSERT_TRUE(agent_->start(guest("task-1")));
    ASSERT_TRUE(begins());
  }
  void TearDown() override {
    if (target_) {
      EXPECT_TRUE(target_->kill(vm_));
    }
    target_.reset();
    GuestTest::TearDown();
  }

  virtual bool begins() { return boots_reach(1); }

  // Its answer comes when the move is over.
  std::future<Result<void>> begin_sending(const v1::MoveAddress& to, std::vector<std::size_t> copied_disks,
                                          std::uint64_t bytes_per_second_max = 0) {
    return begin_sending_by({.copied_disks = std::move(copied_disks)}, to, bytes_per_second_max);
  }
  std::future<Result<void>> begin_sending_by(const port::MoveTerms& terms, const v1::MoveAddress& to,
                                             std::uint64_t bytes_per_second_max = 0) {
    port::MoveRequest request{terms};
    request.target = to;
    request.bytes_per_second_max = bytes_per_second_max;
    return std::async(std::launch::async, [this, request] {
      return agent_->call([&](port::Mover& mover, const port::Done& done) {
        mover.send(
            vm_, request,
            [this](const port::MoveProgress& progress) {
              const std::lock_guard lock(mutex_);
              last_ = progress;
            },
            done);
      });
    });
  }
  Result<void> send(const v1::MoveAddress& to, std::vector<std::size_t> copied_disks = {}) {
    return begin_sending(to, std::move(copied_disks)).get();
  }
  port::MoveProgress progress() {
    const std::lock_guard lock(mutex_);
    return last_;
  }
  // With a second disk as large as the guest's own, which is not all zero.
  [[nodiscard]] port::GuestDefinition with_disk_of_its_own() const {
    auto definition = guest("task-1");
    definition.disks[0].path = state_ + "/copy.raw";
    std::ofstream(definition.disks[0].path) << std::string(std::filesystem::file_size(disk_), 'x');
    EXPECT_EQ(::chown(definition.disks[0].path.c_str(), uid_, uid_), 0);
    return definition;
  }
  // So that its copy takes a while at kSlow.
  virtual void make_disk() {
    std::fstream disk(disk_, std::ios::in | std::ios::out);
    disk.seekp(16U << 10U) << std::string(std::size_t{12} << 20U, 'x');
  }
  bool copies() {
    return becomes([&] { return progress().phase == "copying disks" && progress().bytes_left > 0; });
  }
  [[nodiscard]] GuestDirectory other_directory() const { return {other_state_, vm_}; }
  [[nodiscard]] pid_t other_pid() const {
    const auto record = other_directory().load();
    return record ? record->pid : 0;
  }
  void lives(Agent& agent) const {
    Screen screen(agent.consoles(), vm_);
    screen.type("hello");
    EXPECT_TRUE(screen.shows("hello")) << screen.text();
  }
  // A guest that came, of which the other host has nothing any more, goes back there.
  void goes_back() {
    std::swap(agent_, target_);
    const auto back = target_->receive(guest("task-1"), {});
    ASSERT_TRUE(back) << back.error().to_text();
    const auto sent = send(*back);
    ASSERT_TRUE(sent) << sent.error().to_text();
    ASSERT_TRUE(target_->reaches(vm_, port::GuestObservation::State::received));
    ASSERT_TRUE(target_->take_over(vm_, true));
    ASSERT_TRUE(agent_->kill(vm_));
    lives(*target_);
    std::swap(agent_, target_);
  }
  // No key of a move is left anywhere.
  void expect_no_keys() const {
    EXPECT_TRUE(becomes([&] { return !std::filesystem::exists(directory().file("move")); }));
    EXPECT_TRUE(becomes([&] { return !std::filesystem::exists(other_directory().file("move")); }));
  }

  std::string other_state_;
  std::unique_ptr<Agent> target_;
  std::mutex mutex_;
  port::MoveProgress last_;
};

}  // namespace gantry::qemu
