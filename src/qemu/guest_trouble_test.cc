// Real QEMU processes whose control socket, storage or record fails at the worst moment.
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/stat.h>

#include <atomic>
#include <future>
#include <optional>

#include "qemu/guest.h"
#include "qemu/process_facts.h"
#include "qemu/test_fixture.h"
#include "qemu/test_qmp_proxy.h"

namespace gantry::qemu {
namespace {

using State = port::GuestObservation::State;
using testing::HasSubstr;

class GuestTroubleTest : public GuestTest {
 protected:
  void start() {
    const auto started = agent_->start(guest("task-1"));
    ASSERT_TRUE(started) << started.error().to_text();
    ASSERT_TRUE(boots_reach(1));
    ASSERT_TRUE(recorded([](const GuestRecord& record) { return record.phase == GuestRecord::Phase::running; }));
  }
  // Its guests are found by an agent that comes anew.
  void come_again(Milliseconds adoption_timeout_ms = 30'000) {
    agent_ = std::make_unique<Agent>(state_, "/usr/bin/qemu-system-x86_64", adoption_timeout_ms);
  }
  [[nodiscard]] bool recorded(const std::function<bool(const GuestRecord&)>& reached) const {
    return becomes([&] {
      const auto record = directory().load();
      return record && reached(*record);
    });
  }
  [[nodiscard]] bool recorded_as_running() const {
    return recorded([](const GuestRecord& record) { return record.phase == GuestRecord::Phase::running; });
  }
  // While it is there, no record can be written.
  [[nodiscard]] std::string obstacle() const { return directory().file("record.json.new"); }
  void expect_it_runs() const {
    EXPECT_EQ(agent_->last(vm_).state, State::running);
    Screen screen(agent_->consoles(), vm_);
    screen.type("x");
    EXPECT_TRUE(screen.shows("x"));
  }
};

TEST_F(GuestTroubleTest, OneThatCannotBeReachedHoldsUpNobody) {
  start();
  agent_.reset();
  const std::string socket = directory().qmp_socket();
  std::filesystem::rename(socket, socket + ".away");
  come_again(300);
  EXPECT_EQ(agent_->last(vm_).state, State::running);
  EXPECT_EQ(agent_->last(vm_).boot_id, "task-1");
  std::filesystem::rename(socket + ".away", socket);
  EXPECT_TRUE(becomes([this] { return agent_->pause(vm_).has_value(); }));
}

TEST_F(GuestTroubleTest, OneThatHangsUpHoldsUpNobody) {
  start();
  agent_.reset();
  {
    const QmpProxy proxy(directory().qmp_socket(), nullptr);
    come_again(300);
    EXPECT_EQ(agent_->last(vm_).state, State::running);
  }
  EXPECT_TRUE(becomes([this] { return agent_->pause(vm_).has_value(); }));
}

TEST_F(GuestTroubleTest, AnotherGuestAtItsSocketHoldsUpNobody) {
  start();
  agent_.reset();
  std::atomic<bool> other = true;
  const QmpProxy proxy(directory().qmp_socket(), [&](const std::string& command) -> std::optional<std::string> {
    if (other && command == "query-uuid") return R"("return":{"UUID":"8f3a1e52-0000-4000-8000-000000000000"})";
    return std::nullopt;
  });
  come_again(300);
  EXPECT_EQ(agent_->last(vm_).state, State::running);
  other = false;
  EXPECT_TRUE(becomes([this] { return agent_->pause(vm_).has_value(); }));
  EXPECT_EQ(agent_->last(vm_).state, State::paused);
}

TEST_F(GuestTroubleTest, AForcedEndIsFinishedThoughQemuCannotBeReached) {
  start();
  agent_.reset();
  rewrite_record([](GuestRecord& record) { record.forced = true; });
  const std::string socket = directory().qmp_socket();
  std::filesystem::rename(socket, socket + ".away");
  come_again(300);
  ASSERT_TRUE(agent_->reaches(vm_, State::ended));
  EXPECT_EQ(agent_->last(vm_).exit.reason(), v1::VmExit::FORCED);
}

TEST_F(GuestTroubleTest, IsForcedToEndThoughItsStorageHangs) {
  start();
  // Whoever opens it to write waits for a reader.
  ASSERT_EQ(::mkfifo(obstacle().c_str(), 0600), 0);
  const auto pidfd = open_pidfd(pid());
  ASSERT_TRUE(pidfd);
  auto killed = std::async(std::launch::async, [this] { return agent_->kill(vm_); });
  pollfd ended{pidfd->get(), POLLIN, 0};
  EXPECT_EQ(::poll(&ended, 1, 30'000), 1) << "it lives as long as its record cannot be written";
  const UniqueFd reader(::open(obstacle().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  EXPECT_TRUE(killed.get());
  EXPECT_EQ(agent_->last(vm_).exit.reason(), v1::VmExit::FORCED);
}

TEST_F(GuestTroubleTest, AFailedResetLeavesItAsItWasForGood) {
  start();
  for (const std::string refused : {"stop", "system_reset"}) {
    agent_.reset();
    {
      const QmpProxy proxy(directory().qmp_socket(), [&](const std::string& command) -> std::optional<std::string> {
        if (command == refused) return QmpProxy::kRefusal;
        return std::nullopt;
      });
      come_again();
      const auto reset = agent_->reset(vm_, "task-2");
      ASSERT_FALSE(reset);
      EXPECT_THAT(reset.error().cause, HasSubstr("not now"));
      expect_it_runs();
      EXPECT_TRUE(recorded_as_running());
      agent_.reset();
    }
    come_again();
    EXPECT_EQ(agent_->last(vm_).reset_id, "");
    expect_it_runs();
    EXPECT_EQ(boots(), 1U) << refused;
  }
  ASSERT_TRUE(agent_->reset(vm_, "task-2"));
  EXPECT_TRUE(boots_reach(2));
}

TEST_F(GuestTroubleTest, AFailedResetIsUndoneOnDiskOnceThatCanBeWritten) {
  start();
  agent_.reset();
  const QmpProxy proxy(directory().qmp_socket(), [this](const std::string& command) -> std::optional<std::string> {
    if (command != "system_reset") return std::nullopt;
    ::mkdir(obstacle().c_str(), 0700);
    return QmpProxy::kRefusal;
  });
  come_again();
  ASSERT_FALSE(agent_->reset(vm_, "task-2"));
  expect_it_runs();
  EXPECT_EQ(directory().load()->phase, GuestRecord::Phase::resetting);
  ASSERT_EQ(::rmdir(obstacle().c_str()), 0);
  EXPECT_TRUE(recorded_as_running());
}

TEST_F(GuestTroubleTest, AResetThatCannotBeBegunLeavesItRunning) {
  start();
  ASSERT_EQ(::mkdir(obstacle().c_str(), 0700), 0);
  ASSERT_FALSE(agent_->reset(vm_, "task-2"));
  expect_it_runs();
  EXPECT_EQ(boots(), 1U);
}

TEST_F(GuestTroubleTest, AResetThatCannotBeWrittenDownIsFinishedWhenItIsToRun) {
  start();
  agent_.reset();
  {
    const QmpProxy proxy(directory().qmp_socket(), [this](const std::string& command) -> std::optional<std::string> {
      if (command == "system_reset") ::mkdir(obstacle().c_str(), 0700);
      return std::nullopt;
    });
    come_again();
    EXPECT_FALSE(agent_->reset(vm_, "task-2"));
    EXPECT_EQ(agent_->last(vm_).state, State::paused);
    EXPECT_FALSE(agent_->resume(vm_)) << "it may run only when that it was reset is known for good";
    ASSERT_EQ(::rmdir(obstacle().c_str()), 0);
    ASSERT_TRUE(agent_->resume(vm_));
    EXPECT_EQ(agent_->last(vm_).reset_id, "task-2");
    EXPECT_TRUE(boots_reach(2));
    expect_it_runs();
    EXPECT_TRUE(recorded_as_running());
    agent_.reset();
  }
  come_again();
  ASSERT_TRUE(agent_->reset(vm_, "task-2"));
  expect_it_runs();
  EXPECT_EQ(boots(), 2U);
}

// QEMU hangs up before the reset, and after it.
TEST_F(GuestTroubleTest, AResetWhoseOutcomeIsUnknownCountsOnlyIfItWasDone) {
  start();
  std::atomic<bool> hangs_up = false;
  std::atomic<bool> after = false;
  agent_.reset();
  const QmpProxy proxy(directory().qmp_socket(), [&](const std::string& command) -> std::optional<std::string> {
    if (hangs_up && command == (after ? "query-status" : "stop")) {
      hangs_up = false;
      return QmpProxy::kHangUp;
    }
    if (after && command == "system_reset") hangs_up = true;
    return std::nullopt;
  });
  come_again();
  hangs_up = true;
  ASSERT_FALSE(agent_->reset(vm_, "task-2"));
  EXPECT_TRUE(agent_->reaches(vm_, State::running));
  EXPECT_TRUE(recorded_as_running());
  EXPECT_EQ(agent_->last(vm_).reset_id, "");
  EXPECT_EQ(boots(), 1U);

  after = true;
  ASSERT_FALSE(agent_->reset(vm_, "task-3"));
  EXPECT_TRUE(agent_->reaches(vm_, State::running));
  EXPECT_EQ(agent_->last(vm_).reset_id, "task-3");
  ASSERT_TRUE(agent_->reset(vm_, "task-3"));
  EXPECT_TRUE(boots_reach(2));
  expect_it_runs();
  EXPECT_EQ(boots(), 2U);
}

TEST_F(GuestTroubleTest, EndsWhileItIsReset) {
  start();
  agent_.reset();
  const pid_t process = pid();
  const QmpProxy proxy(directory().qmp_socket(), [&](const std::string& command) -> std::optional<std::string> {
    if (command != "system_reset") return std::nullopt;
    ::kill(process, SIGKILL);
    return R"("return":{})";
  });
  come_again();
  EXPECT_FALSE(agent_->reset(vm_, "task-2"));
  EXPECT_TRUE(agent_->reaches(vm_, State::ended));
  EXPECT_EQ(agent_->last(vm_).exit.reason(), v1::VmExit::CRASH);
  EXPECT_TRUE(agent_->start(guest("task-3")));
}

TEST_F(GuestTroubleTest, IsNotAbsentOnlyBecauseItsRecordCannotBeRead) {
  start();
  const std::string record = directory().file("record.json");
  for (const bool damaged : {false, true}) {
    agent_.reset();
    std::filesystem::rename(record, record + ".away");
    if (damaged) {
      ASSERT_TRUE(runtime::write_file_durably(record, "{}"));
    } else {
      ASSERT_EQ(::mkdir(record.c_str(), 0700), 0);
    }
    come_again();
    EXPECT_EQ(agent_->last(vm_).state, State::unknown);
    EXPECT_EQ(agent_->last(vm_).problem.code(), "guest_unknown");
    EXPECT_FALSE(agent_->start(guest("task-1")));
    EXPECT_FALSE(agent_->kill(vm_));
    EXPECT_FALSE(agent_->call([this](port::Hypervisor& all, const port::Done& done) { all.forget(vm_, done); }));
    std::filesystem::remove(record);
    std::filesystem::rename(record + ".away", record);
    ASSERT_TRUE(agent_->reaches(vm_, State::running));
    expect_it_runs();
  }
  EXPECT_EQ(boots(), 1U);
}

TEST_F(GuestTroubleTest, ADamagedRecordWithoutAProcessIsNone) {
  start();
  ASSERT_TRUE(agent_->kill(vm_));
  agent_.reset();
  ASSERT_TRUE(runtime::write_file_durably(directory().file("record.json"), "{}"));
  come_again();
  EXPECT_EQ(agent_->last(vm_).state, State::absent);
  EXPECT_TRUE(agent_->start(guest("task-2")));
}

TEST_F(GuestTroubleTest, IsNotForgottenUnlessNobodyHasItsLock) {
  start();
  ASSERT_TRUE(agent_->kill(vm_));
  std::filesystem::remove(directory().file("lock"));
  ASSERT_EQ(::mkdir(directory().file("lock").c_str(), 0700), 0);
  const auto forget = [this](port::Hypervisor& hypervisor, const port::Done& done) { hypervisor.forget(vm_, done); };
  EXPECT_FALSE(agent_->call(forget));
  EXPECT_TRUE(std::filesystem::exists(directory().file("record.json")));
  ASSERT_EQ(::rmdir(directory().file("lock").c_str()), 0);
  const auto forgotten = agent_->call(forget);
  EXPECT_TRUE(forgotten) << forgotten.error().to_text();
}

TEST_F(GuestTroubleTest, GuestsThatCannotBeListedAreNotNone) {
  const std::string other = state_ + "/other";
  ASSERT_EQ(::mkdir(other.c_str(), 0700), 0);
  EXPECT_EQ(guests_in(other).value().size(), 0U);
  ASSERT_TRUE(runtime::write_file_durably(other + "/vms", "no directory"));
  EXPECT_FALSE(guests_in(other));
}

TEST_F(GuestTroubleTest, ItsLogsAreCutOnlyBetweenItsOtherSteps) {
  ASSERT_TRUE(runtime::make_directories(directory().file("")));
  ASSERT_TRUE(runtime::write_file_durably(directory().console_log(), std::string(2U << 20U, 'x')));
  // Whoever opens it to read waits for a writer.
  ASSERT_EQ(::mkfifo(directory().file("record.json").c_str(), 0600), 0);
  runtime::EventLoop loop;
  ConsoleHub consoles(loop);
  const Cgroups cgroups = Cgroups::detect();
  runtime::WorkerPool workers(2);
  EngineOptions options;
  options.state_directory = state_;
  const auto found = std::make_shared<Guest>(
      std::make_shared<Engine>(Engine{loop, workers, cgroups, consoles, std::move(options), {}}), vm_);
  found->find([] {});
  found->trim_logs();
  std::promise<void> idle;
  workers.submit([&] { idle.set_value(); });
  idle.get_future().wait();
  EXPECT_EQ(std::filesystem::file_size(directory().console_log()), 2U << 20U);
  UniqueFd(::open(directory().file("record.json").c_str(), O_WRONLY | O_CLOEXEC)).reset();
  EXPECT_TRUE(becomes([&] {
    loop.context().restart();
    loop.context().run_one_for(std::chrono::milliseconds(20));
    return std::filesystem::file_size(directory().console_log()) == 64U << 10U;
  }));
}

}  // namespace
}  // namespace gantry::qemu
