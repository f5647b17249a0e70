// Real QEMU processes under TCG with a guest of one boot sector.
#include "qemu/hypervisor.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <thread>
#include <utility>
#include <vector>

#include "qemu/console_hub.h"
#include "qemu/event_io.h"
#include "qemu/guest_directory.h"
#include "qemu/process_facts.h"
#include "qemu/test_fixture.h"
#include "runtime/files.h"

namespace gantry::qemu {
namespace {

using State = port::GuestObservation::State;
using testing::HasSubstr;

class HypervisorTest : public GuestTest {};

TEST_F(HypervisorTest, StartsAGuestThatBootsAndIsStartedOnlyOnce) {
  const auto started = agent_->start(guest("task-1"));
  ASSERT_TRUE(started) << started.error().to_text();
  const auto seen = agent_->last(vm_);
  EXPECT_EQ(seen.state, State::running);
  EXPECT_EQ(seen.boot_id, "task-1");
  EXPECT_EQ(seen.accelerator, "tcg");
  EXPECT_TRUE(boots_reach(1));
  const pid_t first = pid();
  EXPECT_TRUE(agent_->start(guest("task-1")));
  EXPECT_EQ(pid(), first);
  const auto other = agent_->start(guest("task-2"));
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::conflict);
}

TEST_F(HypervisorTest, RunsQemuWithoutRights) {
  ASSERT_TRUE(agent_->start(guest("task-1")));
  const auto status = runtime::read_file("/proc/" + std::to_string(pid()) + "/status");
  ASSERT_TRUE(status);
  const std::string uid = std::to_string(uid_);
  EXPECT_THAT(*status, HasSubstr("Uid:\t" + uid + "\t" + uid + "\t" + uid + "\t" + uid));
  EXPECT_THAT(*status, HasSubstr("Gid:\t" + uid + "\t" + uid + "\t" + uid + "\t" + uid));
  EXPECT_THAT(*status, HasSubstr("Groups:\t \n"));
  EXPECT_THAT(*status, HasSubstr("NoNewPrivs:\t1"));
  EXPECT_THAT(*status, HasSubstr("Seccomp:\t2"));
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
    EXPECT_THAT(*status, HasSubstr(std::string(set) + ":\t0000000000000000"));
  }
  EXPECT_EQ(::getsid(pid()), pid());
}

TEST_F(HypervisorTest, LetsTheKernelJudgeQemuAsAnyOtherWhenMemoryRunsOut) {
  const std::string own = "/proc/self/oom_score_adj";
  const std::string before = runtime::read_file(own).value_or("0");
  std::ofstream(own) << "500";
  ASSERT_EQ(runtime::read_file(own).value_or(""), "500\n");
  const auto started = agent_->start(guest("task-1"));
  std::ofstream(own) << before;
  ASSERT_TRUE(started);
  EXPECT_EQ(runtime::read_file("/proc/" + std::to_string(pid()) + "/oom_score_adj").value_or(""), "0\n");
}

TEST_F(HypervisorTest, PausesResumesAndKills) {
  ASSERT_TRUE(agent_->start(guest("task-1")));
  ASSERT_TRUE(boots_reach(1));
  ASSERT_TRUE(agent_->pause(vm_));
  EXPECT_EQ(agent_->last(vm_).state, State::paused);
  Screen screen(agent_->consoles(), vm_);
  ASSERT_TRUE(agent_->resume(vm_));
  EXPECT_EQ(agent_->last(vm_).state, State::running);
  screen.type("hello");
  EXPECT_TRUE(screen.shows("hello"));
  const pid_t process = pid();
  ASSERT_TRUE(agent_->kill(vm_));
  EXPECT_FALSE(process_facts(process));
  EXPECT_EQ(agent_->last(vm_).state, State::ended);
  EXPECT_EQ(agent_->last(vm_).exit.reason(), v1::VmExit::FORCED);
  EXPECT_TRUE(screen.closes());
  const auto again = agent_->start(guest("task-1"));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().reason, "boot_ended");
  EXPECT_TRUE(agent_->start(guest("task-2")));
}

TEST_F(HypervisorTest, SeesTheGuestPowerOffWhenAsked) {
  ASSERT_TRUE(agent_->start(guest("task-1")));
  ASSERT_TRUE(boots_reach(1));
  ASSERT_TRUE(
      agent_->call([this](port::Hypervisor& hypervisor, const port::Done& done) { hypervisor.power_down(vm_, done); }));
  ASSERT_TRUE(agent_->reaches(vm_, State::ended));
  EXPECT_EQ(agent_->last(vm_).exit.reason(), v1::VmExit::GUEST_SHUTDOWN);
  EXPECT_EQ(agent_->last(vm_).exit.boot_id(), "task-1");
}

TEST_F(HypervisorTest, SeesACrashAtOnceWithTheLastWords) {
  ASSERT_TRUE(agent_->start(guest("task-1")));
  ::kill(pid(), SIGKILL);
  ASSERT_TRUE(agent_->reaches(vm_, State::ended));
  const auto exit = agent_->last(vm_).exit;
  EXPECT_EQ(exit.reason(), v1::VmExit::CRASH);
  EXPECT_THAT(exit.last_words(), HasSubstr("signal 9"));
}

TEST_F(HypervisorTest, TellsWhyAStartFailedAndLeavesNothing) {
  auto broken = guest("task-1");
  broken.disks[0].format = v1::VolumeSpec::QCOW2;
  const auto started = agent_->start(broken);
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().cause, HasSubstr("not in qcow2 format"));
  EXPECT_EQ(agent_->last(vm_).state, State::ended);
  EXPECT_EQ(agent_->last(vm_).exit.reason(), v1::VmExit::START_FAILED);
  EXPECT_THAT(agent_->last(vm_).exit.last_words(), HasSubstr("not in qcow2 format"));
  EXPECT_FALSE(locked());
  EXPECT_TRUE(agent_->start(guest("task-2")));
}

TEST_F(HypervisorTest, FailsWithoutAnEmulator) {
  agent_ = std::make_unique<Agent>(state_, "/nonexistent/qemu");
  const auto started = agent_->start(guest("task-1"));
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::unsupported);
  EXPECT_EQ(agent_->last(vm_).exit.reason(), v1::VmExit::START_FAILED);
  EXPECT_FALSE(locked());
}

TEST_F(HypervisorTest, KillStopsAStartUnderWay) {
  auto started = std::make_shared<std::promise<Result<void>>>();
  const auto killed = agent_->call([&, started](port::Hypervisor& hypervisor, const port::Done& done) {
    hypervisor.start(guest("task-1"), [started](Result<void> answer) { started->set_value(answer); });
    hypervisor.kill(vm_, done);
  });
  EXPECT_TRUE(killed);
  EXPECT_FALSE(started->get_future().get());
  EXPECT_EQ(agent_->last(vm_).state, State::ended);
  EXPECT_EQ(agent_->last(vm_).exit.reason(), v1::VmExit::FORCED);
  EXPECT_FALSE(locked());
}

TEST_F(HypervisorTest, AdoptsARunningGuest) {
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

TEST_F(HypervisorTest, FindsTheConsoleOfAGuestItCouldNotReachAtFirst) {
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
  const auto end = std::chrono::steady_clock::now() + kGenerous;
  while (!opens() && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  Screen screen(agent_->consoles(), vm_);
  EXPECT_TRUE(screen.shows("B"));
  screen.type("x");
  EXPECT_TRUE(screen.shows("x"));
}

TEST_F(HypervisorTest, AnswersEveryKillOfAGuestThatDoesNotListen) {
  for (const char* boot : {"task-1", "task-2"}) {
    ASSERT_TRUE(agent_->start(guest(boot)));
    ::kill(pid(), SIGSTOP);
    auto second = std::make_shared<std::promise<Result<void>>>();
    EXPECT_TRUE(agent_->call([this, second](port::Hypervisor& hypervisor, const port::Done& done) {
      hypervisor.kill(vm_, [second](Result<void> answer) { second->set_value(answer); });
      hypervisor.kill(vm_, done);
    }));
    EXPECT_TRUE(second->get_future().get());
    EXPECT_EQ(agent_->last(vm_).exit.reason(), v1::VmExit::FORCED);
    EXPECT_FALSE(locked());
  }
}

TEST_F(HypervisorTest, TellsShutdownFromCrashThoughNobodyWatched) {
  ASSERT_TRUE(agent_->start(guest("task-1")));
  ASSERT_TRUE(boots_reach(1));
  auto pidfd = open_pidfd(pid());
  ASSERT_TRUE(pidfd);
  agent_.reset();
  {
    auto serial = connect_unix(directory().serial_socket());
    ASSERT_TRUE(serial);
    ASSERT_EQ(::write(serial->get(), "q", 1), 1);
    siginfo_t info{};
    ASSERT_EQ(::waitid(P_PIDFD, static_cast<id_t>(pidfd->get()), &info, WEXITED), 0);
  }
  agent_ = std::make_unique<Agent>(state_);
  EXPECT_EQ(agent_->last(vm_).state, State::ended);
  EXPECT_EQ(agent_->last(vm_).exit.reason(), v1::VmExit::GUEST_SHUTDOWN);

  ASSERT_TRUE(agent_->start(guest("task-2")));
  pidfd = open_pidfd(pid());
  agent_.reset();
  send_signal(*pidfd, SIGKILL);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PIDFD, static_cast<id_t>(pidfd->get()), &info, WEXITED), 0);
  agent_ = std::make_unique<Agent>(state_);
  EXPECT_EQ(agent_->last(vm_).exit.reason(), v1::VmExit::CRASH);
  EXPECT_EQ(agent_->last(vm_).exit.boot_id(), "task-2");
}

TEST_F(HypervisorTest, ResetsOnceForEachId) {
  ASSERT_TRUE(agent_->start(guest("task-1")));
  ASSERT_TRUE(boots_reach(1));
  ASSERT_TRUE(agent_->reset(vm_, "task-2"));
  EXPECT_EQ(agent_->last(vm_).reset_id, "task-2");
  EXPECT_EQ(agent_->last(vm_).state, State::running);
  ASSERT_TRUE(boots_reach(2));
  ASSERT_TRUE(agent_->reset(vm_, "task-2"));
  restart_agent();
  ASSERT_TRUE(agent_->reset(vm_, "task-2"));
  ASSERT_TRUE(agent_->reset(vm_, "task-3"));
  ASSERT_TRUE(boots_reach(3));
  ASSERT_TRUE(agent_->pause(vm_));
  ASSERT_TRUE(agent_->reset(vm_, "task-4"));
  EXPECT_EQ(agent_->last(vm_).state, State::paused);
  ASSERT_TRUE(agent_->resume(vm_));
  EXPECT_TRUE(boots_reach(4));
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

TEST_F(HypervisorTest, FinishesAResetWhereverTheAgentWasKilled) {
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

TEST_F(HypervisorTest, FinishesAStartThatWasInterrupted) {
  ASSERT_TRUE(agent_->start(guest("task-1")));
  // As it is between the execution of QEMU and the first `cont`.
  agent_.reset();
  rewrite_record([](GuestRecord& record) { record.phase = GuestRecord::Phase::starting; });
  do_by_hand(directory().qmp_socket(), "{\"execute\":\"stop\"}\n{\"execute\":\"system_reset\"}\n", "\"RESET\"");
  agent_ = std::make_unique<Agent>(state_);
  EXPECT_EQ(agent_->last(vm_).state, State::running);
  EXPECT_TRUE(agent_->start(guest("task-1")));
}

TEST_F(HypervisorTest, ForgetsABootThatNeverRanSoThatItMayBeginAgain) {
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

// A file system of 64 KiB for a guest's disk.
class FullDisk {
 public:
  explicit FullDisk(const std::string& path, std::uint32_t uid) : path_(path) {
    std::filesystem::create_directories(path_);
    EXPECT_EQ(::mount("tmpfs", path_.c_str(), "tmpfs", 0, "size=64k,mode=0711"), 0);
    EXPECT_TRUE(runtime::write_file_durably(disk(), test_guest_disk().substr(0, 512)));
    EXPECT_EQ(::truncate(disk().c_str(), 1 << 20), 0);
    EXPECT_EQ(::chown(disk().c_str(), uid, uid), 0);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;
  ~FullDisk() { ::umount2(path_.c_str(), MNT_DETACH); }
  [[nodiscard]] std::string disk() const { return path_ + "/vol-4f7k2m9qzt3x.raw"; }
  void fill() const {
    const UniqueFd file(::open((path_ + "/filler").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    const std::string page(4096, 'x');
    while (::write(file.get(), page.data(), page.size()) > 0) {
    }
  }
  void free() const { std::filesystem::remove(path_ + "/filler"); }

 private:
  std::string path_;
};

TEST_F(HypervisorTest, TellsThatADiskIsFullUntilThereIsRoom) {
  const FullDisk full(state_ + "/full", uid_);
  auto definition = guest("task-1");
  definition.disks[0].path = full.disk();
  ASSERT_TRUE(agent_->start(definition));
  ASSERT_TRUE(boots_reach(1));
  full.fill();
  {
    Screen screen(agent_->consoles(), vm_);
    screen.type("w");
    ASSERT_TRUE(agent_->reaches(vm_, State::paused));
  }
  EXPECT_EQ(agent_->last(vm_).problem.code(), "disk_full");
  EXPECT_THAT(agent_->last(vm_).problem.summary(), HasSubstr("its disk vol-4f7k2m9qzt3x "));
  restart_agent();
  EXPECT_EQ(agent_->last(vm_).state, State::paused);
  EXPECT_EQ(agent_->last(vm_).problem.code(), "disk_full");

  // Let run again too early.
  ASSERT_TRUE(agent_->resume(vm_));
  ASSERT_TRUE(agent_->reaches(vm_, State::paused));
  EXPECT_EQ(agent_->last(vm_).problem.code(), "disk_full");

  Screen screen(agent_->consoles(), vm_);
  full.free();
  ASSERT_TRUE(agent_->resume(vm_));
  EXPECT_TRUE(screen.shows("W"));
  EXPECT_EQ(agent_->last(vm_).state, State::running);
  EXPECT_EQ(agent_->last(vm_).problem.code(), "");
  ASSERT_TRUE(agent_->kill(vm_));
}

// As after a reboot or a loss of power of the machine: the record is of a boot of it that is over.
TEST_F(HypervisorTest, BeginsAgainWhatEndedWithTheMachine) {
  ASSERT_TRUE(agent_->start(guest("task-1")));
  ASSERT_TRUE(boots_reach(1));
  ASSERT_TRUE(agent_->reset(vm_, "task-2"));
  const auto lose = [&] {
    auto pidfd = open_pidfd(pid());
    ASSERT_TRUE(pidfd);
    agent_.reset();
    send_signal(*pidfd, SIGKILL);
    siginfo_t info{};
    ASSERT_EQ(::waitid(P_PIDFD, static_cast<id_t>(pidfd->get()), &info, WEXITED), 0);
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

TEST_F(HypervisorTest, NeverRunsASecondQemuEvenWithoutItsRecord) {
  ASSERT_TRUE(agent_->start(guest("task-1")));
  auto pidfd = open_pidfd(pid());
  agent_.reset();
  std::filesystem::remove(directory().file("record.json"));
  agent_ = std::make_unique<Agent>(state_);
  const auto started = agent_->start(guest("task-1"));
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().reason, "guest_process_lives");
  send_signal(*pidfd, SIGKILL);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PIDFD, static_cast<id_t>(pidfd->get()), &info, WEXITED), 0);
  EXPECT_TRUE(agent_->start(guest("task-2")));
}

TEST_F(HypervisorTest, ForgetsOnlyWhatEnded) {
  ASSERT_TRUE(agent_->start(guest("task-1")));
  const auto forget = [this](port::Hypervisor& hypervisor, const port::Done& done) { hypervisor.forget(vm_, done); };
  EXPECT_FALSE(agent_->call(forget));
  ASSERT_TRUE(agent_->kill(vm_));
  ASSERT_TRUE(agent_->call(forget));
  EXPECT_EQ(agent_->last(vm_).state, State::absent);
  EXPECT_FALSE(std::filesystem::exists(state_ + "/vms/" + vm_));
  EXPECT_TRUE(agent_->call(forget));
}

TEST_F(HypervisorTest, CutsTheLogsThatGrewWhileNobodyWatched) {
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
  const auto end = std::chrono::steady_clock::now() + kGenerous;
  while (directory().console_tail(4) != "endx" && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_EQ(directory().console_tail(4), "endx");
}

TEST_F(HypervisorTest, StartsByUefiAndByUserModeNetwork) {
  auto definition = guest("task-1");
  definition.uefi = true;
  definition.nics = {{.mac = "52:54:00:00:00:01", .model = v1::VmNic::E1000E, .tap = {}, .forwards = {}, .ipv4 = {}},
                     {.mac = "52:54:00:00:00:02", .tap = {}, .forwards = {}, .ipv4 = {}}};
  definition.disks.push_back(definition.disks[0]);
  definition.disks[1].bus = v1::VmDisk::SATA;
  definition.disks[1].path = state_ + "/second.raw";
  ASSERT_TRUE(runtime::write_file_durably(definition.disks[1].path, std::string(65536, '\0')));
  ASSERT_EQ(::chown(definition.disks[1].path.c_str(), uid_, uid_), 0);
  definition.cpus = 2;
  definition.memory_mib = 256;
  const auto started = agent_->start(definition);
  EXPECT_TRUE(started) << started.error().to_text();
  EXPECT_TRUE(std::filesystem::exists(directory().firmware_variables()));
}

TEST_F(HypervisorTest, RefusesStrangeIds) {
  auto definition = guest("task-1");
  definition.vm_id = "../../etc";
  const auto started = agent_->start(definition);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace gantry::qemu
