// For tests with real QEMU processes under TCG: a state directory, an agent and a guest of one boot sector.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "base/id.h"
#include "model/uid.h"
#include "qemu/console_hub.h"
#include "qemu/guest_directory.h"
#include "qemu/test_agent.h"
#include "qemu/test_guest.h"
#include "runtime/files.h"

namespace gantry::qemu {

// What a session of a console has seen.
class Screen {
 public:
  Screen(ConsoleHub& consoles, const std::string& vm_id) {
    auto opened = consoles.open(
        vm_id,
        [this](std::string_view bytes) {
          const std::lock_guard lock(mutex_);
          text_.append(bytes);
          changed_.notify_all();
        },
        [this] {
          const std::lock_guard lock(mutex_);
          closed_ = true;
          changed_.notify_all();
        });
    EXPECT_TRUE(opened) << opened.error().to_text();
    if (opened) session_ = std::move(*opened);
  }
  bool shows(const std::string& text) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kGenerous, [&] { return text_.find(text) != std::string::npos; });
  }
  bool closes() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kGenerous, [&] { return closed_; });
  }
  void type(std::string_view text) { session_->write(text); }
  std::string text() {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_;
  bool closed_ = false;
  std::unique_ptr<port::ConsoleSession> session_;
};

// Another in each process: tests run side by side, and a guest's control group is named after it alone.
inline std::string make_vm_id() {
  Rng rng(static_cast<std::uint64_t>(::getpid()));
  return make_id("vm", rng);
}

// A state directory, the disk of one guest, and no agent.
class GuestFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/gantry-qemu-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    state_ = pattern;
    ASSERT_EQ(::chmod(state_.c_str(), 0711), 0);
    disk_ = state_ + "/disk.raw";
    ASSERT_TRUE(runtime::write_file_durably(disk_, test_guest_disk()));
    ASSERT_EQ(::chown(disk_.c_str(), uid_, uid_), 0);
  }
  void TearDown() override { std::filesystem::remove_all(state_); }

  [[nodiscard]] port::GuestDefinition guest(const std::string& boot_id) const {
    port::GuestDefinition definition;
    definition.vm_id = vm_;
    definition.boot_id = boot_id;
    definition.memory_mib = 64;
    definition.uid = uid_;
    definition.disks = {
        {.path = disk_, .format = v1::VolumeSpec::RAW, .volume_id = "vol-1", .serial = "vol-4f7k2m9qzt3x"}};
    return definition;
  }
  static bool becomes(const std::function<bool()>& reached) {
    constexpr std::chrono::milliseconds kPause(20);
    for (int left = kGenerous / kPause; left > 0 && !reached(); --left) std::this_thread::sleep_for(kPause);
    return reached();
  }
  // The boots that the guest told of on its serial port.
  [[nodiscard]] std::size_t boots() const {
    const std::string log = directory().console_tail(65536);
    return static_cast<std::size_t>(std::count(log.begin(), log.end(), 'B'));
  }
  bool boots_reach(std::size_t count) const {
    becomes([&] { return boots() >= count; });
    return boots() == count;
  }
  [[nodiscard]] GuestDirectory directory() const { return {state_, vm_}; }
  [[nodiscard]] pid_t pid() const {
    const auto record = directory().load();
    return record ? record->pid : 0;
  }
  [[nodiscard]] bool locked() const {
    const UniqueFd file(::open(directory().file("lock").c_str(), O_RDWR | O_CLOEXEC));
    return file.valid() && ::flock(file.get(), LOCK_EX | LOCK_NB) != 0;
  }
  // Ends the agent as if killed when the record said `change`; QEMU is left as it is.
  void rewrite_record(const std::function<void(GuestRecord&)>& change) const {
    auto record = directory().load();
    ASSERT_TRUE(record);
    change(*record);
    ASSERT_TRUE(directory().save(*record));
  }

  const std::string vm_ = make_vm_id();
  const std::uint32_t uid_ = model::guest_uid(vm_);
  std::string state_;
  std::string disk_;
};

// With an agent, which ends the guest at the end.
class GuestTest : public GuestFilesTest {
 protected:
  void SetUp() override {
    GuestFilesTest::SetUp();
    if (!HasFatalFailure()) agent_ = std::make_unique<Agent>(state_);
  }
  void TearDown() override {
    if (agent_) {
      EXPECT_TRUE(agent_->kill(vm_));
    }
    agent_.reset();
    GuestFilesTest::TearDown();
  }

  void restart_agent() {
    agent_.reset();
    agent_ = std::make_unique<Agent>(state_);
  }

  std::unique_ptr<Agent> agent_;
};

}  // namespace gantry::qemu
