// The agent is killed by SIGKILL at many moments of a start and of a reset; the next one must finish what was begun,
// once.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <thread>

#include "qemu/test_fixture.h"
#include "runtime/files.h"

namespace gantry::qemu {
namespace {

using State = port::GuestObservation::State;

class AgentKilledTest : public GuestFilesTest {
 protected:
  void TearDown() override {
    EXPECT_TRUE(Agent(state_).kill(vm_));
    GuestFilesTest::TearDown();
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
  // All processes that were started for this guest and still live.
  [[nodiscard]] std::size_t processes() const {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const auto line = runtime::read_file(entry.path().string() + "/cmdline");
      if (line && line->find("guest=" + vm_) != std::string::npos && line->find(state_) != std::string::npos) ++count;
    }
    return count;
  }
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
