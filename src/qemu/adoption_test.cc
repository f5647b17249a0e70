// Real QEMU processes that an agent left behind, and what the next one makes of them.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "qemu/event_io.h"
#include "qemu/process_facts.h"
#include "qemu/test_fixture.h"

namespace gantry::qemu {
namespace {

using State = port::GuestObservation::State;

class AdoptionTest : public GuestTest {
 protected:
  // Waits for the process, a child of this one, to end: 0, or -1 with errno.
  static int wait_for_end(const UniqueFd& pidfd) {
    siginfo_t info{};
    return ::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED);
  }
};

TEST_F(AdoptionTest, AdoptsARunningGuest) {
  ASSERT_TRUE(agent_->start(guest("task-1")));
  ASSERT_TRUE(boots_reach(1));
  const pid_t before = pid();
  restart_agent();
  EXPECT_EQ(agent_->last(vm_).state, State::running);
  EXPECT_EQ(agent_->last(vm_).boot_id, "task-1");
  EXPECT_EQ(pid(), before);
  {
    Screen screen(agent_->consoles(), vm_);
    EXPECT_TRUE(screen.shows("B"));
    screen.type("x");
    EXPECT_TRUE(screen.shows("x"));
  }
  ASSERT_TRUE(agent_->pause(vm_));
  restart_agent();
  EXPECT_EQ(agent_->last(vm_).state, State::paused);
  EXPECT_TRUE(agent_->start(guest("task-1")));
  ASSERT_TRUE(agent_->resume(vm_));
  EXPECT_EQ(boots(), 1U);
}

TEST_F(AdoptionTest, FindsTheConsoleOfAGuestItCouldNotReachAtFirst) {
  ASSERT_TRUE(agent_->start(guest("task-1")));
  ASSERT_TRUE(boots_reach(1));
  agent_.reset();
  const std::string socket = directory().serial_socket();
  std::filesystem::rename(socket, socket + ".away");
  agent_ = std::make_unique<Agent>(state_);
  EXPECT_EQ(agent_->last(vm_).state, State::running);
  const auto opens = [this] {
    return agent_->consoles().open(
        vm_, [](std::string_view) {}, [] {});
  };
  EXPECT_FALSE(opens());
  std::filesystem::rename(socket + ".away", socket);
  becomes([&] { return opens().has_value(); });
  Screen screen(agent_->consoles(), vm_);
  EXPECT_TRUE(screen.shows("B"));
  screen.type("x");
  EXPECT_TRUE(screen.shows("x"));
}

TEST_F(AdoptionTest, TellsShutdownFromCrashThoughNobodyWatched) {
  ASSERT_TRUE(agent_->start(guest("task-1")));
  ASSERT_TRUE(boots_reach(1));
  auto pidfd = open_pidfd(pid());
  ASSERT_TRUE(pidfd);
  agent_.reset();
  {
    auto serial = connect_unix(directory().serial_socket());
    ASSERT_TRUE(serial);
    ASSERT_EQ(::write(serial->get(), "q", 1), 1);
    ASSERT_EQ(wait_for_end(*pidfd), 0);
  }
  agent_ = std::make_unique<Agent>(state_);
  EXPECT_EQ(agent_->last(vm_).state, State::ended);
  EXPECT_EQ(agent_->last(vm_).exit.reason(), v1::VmExit::GUEST_SHUTDOWN);

  ASSERT_TRUE(agent_->start(guest("task-2")));
  pidfd = open_pidfd(pid());
  agent_.reset();
  send_signal(*pidfd, SIGKILL);
  ASSERT_EQ(wait_for_end(*pidfd), 0);
  agent_ = std::make_unique<Agent>(state_);
  EXPECT_EQ(agent_->last(vm_).exit.reason(), v1::VmExit::CRASH);
  EXPECT_EQ(agent_->last(vm_).exit.boot_id(), "task-2");
}

// A QMP client that does by hand what an agent had done before it was killed.
void do_by_hand(const std::string& socket, const std::string& commands, const std::string& until) {
  auto connection = connect_unix(socket);
  ASSERT_TRUE(connection);
  const std::string all = "{\"execute\":\"qmp_capabilities\"}\n" + commands;
  ASSERT_EQ(::write(connection->get(), all.data(), all.size()), static_cast<ssize_t>(all.size()));
  ASSERT_EQ(::fcntl(connection->get(), F_SETFL, 0), 0);
  std::string seen;
  char buffer[4096];
  while (seen.find(until) == std::string::npos) {
    const ssize_t count = ::read(connection->get(), buffer, sizeof buffer);
    ASSERT_GT(count, 0);
    seen.append(buffer, static_cast<std::size_t>(count));
  }
}

TEST_F(AdoptionTest, FinishesAResetWhereverTheAgentWasKilled) {
  ASSERT_TRUE(agent_->start(guest("task-1")));
  std::size_t expected = 1;
  ASSERT_TRUE(boots_reach(expected));
  const std::string stop = "{\"execute\":\"stop\"}\n";
  const std::string reset = "{\"execute\":\"system_reset\"}\n";
  const std::vector<std::pair<std::string, std::string>> done_before_death = {
      {"", "\"return\""}, {stop, "\"STOP\""}, {stop + reset, "\"RESET\""}};
  for (const auto& [commands, until] : done_before_death) {
    const std::string id = "task-reset-" + std::to_string(expected);
    agent_.reset();
    rewrite_record([&](GuestRecord& record) {
      record.phase = GuestRecord::Phase::resetting;
      record.reset_wanted = id;
      record.resume_after_reset = true;
    });
    do_by_hand(directory().qmp_socket(), commands, until);
    agent_ = std::make_unique<Agent>(state_);
    EXPECT_EQ(agent_->last(vm_).state, State::running);
    EXPECT_EQ(agent_->last(vm_).reset_id, id);
    const auto again = agent_->reset(vm_, id);
    EXPECT_TRUE(again) << again.error().to_text();
    EXPECT_TRUE(boots_reach(++expected)) << boots();
  }
}

TEST_F(AdoptionTest, FinishesAStartThatWasInterrupted) {
  ASSERT_TRUE(agent_->start(guest("task-1")));
  // As it is between the execution of QEMU and the first `cont`.
  agent_.reset();
  rewrite_record([](GuestRecord& record) { record.phase = GuestRecord::Phase::starting; });
  do_by_hand(directory().qmp_socket(), "{\"execute\":\"stop\"}\n{\"execute\":\"system_reset\"}\n", "\"RESET\"");
  agent_ = std::make_unique<Agent>(state_);
  EXPECT_EQ(agent_->last(vm_).state, State::running);
  EXPECT_TRUE(agent_->start(guest("task-1")));
}

TEST_F(AdoptionTest, ForgetsABootThatNeverRanSoThatItMayBeginAgain) {
  // As it is when the agent dies before it let the process become QEMU.
  GuestRecord record{.vm_id = vm_, .boot_id = "task-1"};
  record.pid = 1;
  record.pid_start_ticks = 1;
  record.machine_boot_id = machine_boot_id();
  agent_.reset();
  ASSERT_TRUE(directory().prepare(uid_));
  ASSERT_TRUE(directory().save(record));
  agent_ = std::make_unique<Agent>(state_);
  EXPECT_EQ(agent_->last(vm_).state, State::absent);
  EXPECT_TRUE(agent_->start(guest("task-1")));
}

// As after a reboot or a loss of power of the machine: the record is of a boot of it that is over.
TEST_F(AdoptionTest, BeginsAgainWhatEndedWithTheMachine) {
  ASSERT_TRUE(agent_->start(guest("task-1")));
  ASSERT_TRUE(boots_reach(1));
  ASSERT_TRUE(agent_->reset(vm_, "task-2"));
  const auto lose = [&] {
    auto pidfd = open_pidfd(pid());
    ASSERT_TRUE(pidfd);
    agent_.reset();
    send_signal(*pidfd, SIGKILL);
    ASSERT_EQ(wait_for_end(*pidfd), 0);
  };
  lose();
  rewrite_record([](GuestRecord& record) { record.machine_boot_id = "an-earlier-one"; });
  agent_ = std::make_unique<Agent>(state_);
  EXPECT_EQ(agent_->last(vm_).state, State::ended);
  EXPECT_EQ(agent_->last(vm_).boot_id, "");
  EXPECT_EQ(agent_->last(vm_).exit.reason(), v1::VmExit::NONE);
  EXPECT_EQ(agent_->last(vm_).reset_id, "task-2");
  ASSERT_TRUE(agent_->start(guest("task-1")));
  EXPECT_EQ(agent_->last(vm_).state, State::running);
  EXPECT_EQ(agent_->last(vm_).reset_id, "task-2");
  // The reset under way was done by that.
  ASSERT_TRUE(boots_reach(1));
  lose();
  rewrite_record([](GuestRecord& record) {
    record.machine_boot_id = "an-earlier-one";
    record.phase = GuestRecord::Phase::resetting;
    record.reset_wanted = "task-3";
  });
  agent_ = std::make_unique<Agent>(state_);
  ASSERT_TRUE(agent_->start(guest("task-1")));
  EXPECT_EQ(agent_->last(vm_).reset_id, "task-3");

  ASSERT_TRUE(agent_->kill(vm_));
  agent_.reset();
  rewrite_record([](GuestRecord& record) { record.machine_boot_id = "an-earlier-one"; });
  agent_ = std::make_unique<Agent>(state_);
  EXPECT_EQ(agent_->last(vm_).state, State::ended);
  EXPECT_EQ(agent_->last(vm_).exit.reason(), v1::VmExit::FORCED);
}

TEST_F(AdoptionTest, NeverRunsASecondQemuEvenWithoutItsRecord) {
  ASSERT_TRUE(agent_->start(guest("task-1")));
  auto pidfd = open_pidfd(pid());
  agent_.reset();
  std::filesystem::remove(directory().file("record.json"));
  agent_ = std::make_unique<Agent>(state_);
  const auto started = agent_->start(guest("task-1"));
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().reason, "guest_process_lives");
  send_signal(*pidfd, SIGKILL);
  ASSERT_EQ(wait_for_end(*pidfd), 0);
  EXPECT_TRUE(agent_->start(guest("task-2")));
}

TEST_F(AdoptionTest, CutsTheLogsThatGrewWhileNobodyWatched) {
  ASSERT_TRUE(agent_->start(guest("task-1")));
  ASSERT_TRUE(boots_reach(1));
  agent_.reset();
  {
    const UniqueFd log(::open(directory().console_log().c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    const std::string much((2U << 20U) - 3, 'f');
    ASSERT_EQ(::write(log.get(), much.data(), much.size()), static_cast<ssize_t>(much.size()));
    ASSERT_EQ(::write(log.get(), "end", 3), 3);
  }
  agent_ = std::make_unique<Agent>(state_);
  EXPECT_EQ(std::filesystem::file_size(directory().console_log()), 64U << 10U);
  Screen screen(agent_->consoles(), vm_);
  EXPECT_TRUE(screen.shows("fffend"));
  screen.type("x");
  EXPECT_TRUE(screen.shows("endx"));
  // QEMU goes on writing at the new end, a moment after it told us.
  becomes([this] { return directory().console_tail(4) == "endx"; });
  EXPECT_EQ(directory().console_tail(4), "endx");
}

}  // namespace
}  // namespace gantry::qemu
