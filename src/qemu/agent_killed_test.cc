// The agent is killed by SIGKILL at many moments of a start and of a reset; the next one must finish what was begun,
// once.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <thread>

#include "model/uid.h"
#include "qemu/guest_directory.h"
#include "qemu/process_facts.h"
#include "qemu/test_agent.h"
#include "qemu/test_guest.h"
#include "runtime/files.h"

namespace gantry::qemu {
namespace {

using State = port::GuestObservation::State;

class AgentKilledTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/gantry-qemu-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    state_ = pattern;
    ASSERT_EQ(::chmod(state_.c_str(), 0711), 0);
    ASSERT_TRUE(runtime::write_file_durably(state_ + "/disk.raw", test_guest_disk()));
    ASSERT_EQ(::chown((state_ + "/disk.raw").c_str(), uid_, uid_), 0);
  }
  void TearDown() override {
    EXPECT_TRUE(Agent(state_).kill(vm_));
    std::filesystem::remove_all(state_);
  }

  [[nodiscard]] port::GuestDefinition guest(const std::string& boot_id) const {
    port::GuestDefinition definition;
    definition.vm_id = vm_;
    definition.boot_id = boot_id;
    definition.memory_mib = 32;
    definition.uid = uid_;
    definition.disks = {{.path = state_ + "/disk.raw", .format = v1::VolumeSpec::RAW, .volume_id = {}}};
    return definition;
  }

  // Runs an agent in a process of its own and kills that after `delay`.
  static void killed_after(std::chrono::milliseconds delay, const std::function<void()>& work) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      work();
      while (true) ::pause();
    }
    std::this_thread::sleep_for(delay);
    ::kill(child, SIGKILL);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  }

  [[nodiscard]] GuestDirectory directory() const { return {state_, vm_}; }
  [[nodiscard]] std::size_t boots() const {
    const std::string log = directory().console_tail(65536);
    return static_cast<std::size_t>(std::count(log.begin(), log.end(), 'B'));
  }
  bool boots_reach(std::size_t count) const {
    const auto end = std::chrono::steady_clock::now() + kGenerous;
    while (boots() < count && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return boots() == count;
  }
  // All processes that were started for this guest and still live.
  [[nodiscard]] std::size_t processes() const {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const auto line = runtime::read_file(entry.path().string() + "/cmdline");
      if (line && line->find("guest=" + vm_) != std::string::npos && line->find(state_) != std::string::npos) ++count;
    }
    return count;
  }

  const std::string vm_ = "vm-4f7k2m9qzt3y";
  const std::uint32_t uid_ = model::guest_uid(vm_);
  std::string state_;
};

TEST_F(AgentKilledTest, AtAnyMomentOfAStart) {
  for (int i = 0; i < 24; ++i) {
    const auto definition = guest("task-" + std::to_string(i));
    killed_after(std::chrono::milliseconds(i * 6), [&] { static_cast<void>(Agent(state_).start(definition)); });
    Agent next(state_);
    const auto started = next.start(definition);
    ASSERT_TRUE(started) << i << ": " << started.error().to_text();
    EXPECT_EQ(next.last(vm_).state, State::running);
    EXPECT_EQ(next.last(vm_).boot_id, definition.boot_id);
    EXPECT_EQ(processes(), 1U) << i;
    EXPECT_TRUE(boots_reach(1)) << i << ": " << boots();
    ASSERT_TRUE(next.kill(vm_));
    EXPECT_EQ(processes(), 0U) << i;
  }
}

TEST_F(AgentKilledTest, AtAnyMomentOfAReset) {
  {
    Agent first(state_);
    ASSERT_TRUE(first.start(guest("task-0")));
    ASSERT_TRUE(boots_reach(1));
  }
  for (std::size_t i = 1; i <= 24; ++i) {
    const std::string id = "task-reset-" + std::to_string(i);
    killed_after(std::chrono::milliseconds(i * 4), [&] { static_cast<void>(Agent(state_).reset(vm_, id)); });
    Agent next(state_);
    const auto reset = next.reset(vm_, id);
    ASSERT_TRUE(reset) << i << ": " << reset.error().to_text();
    EXPECT_EQ(next.last(vm_).state, State::running) << i;
    EXPECT_EQ(next.last(vm_).reset_id, id);
    ASSERT_TRUE(boots_reach(i + 1)) << i << ": " << boots();
  }
}

}  // namespace
}  // namespace gantry::qemu
