// Real QEMU processes under TCG with a guest of one boot sector.
#include "qemu/hypervisor.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>

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

TEST_F(HypervisorTest, ABootThatNobodyGuardedNeverWasAndIsDoneLater) {
  auto guarded = guest("task-1");
  guarded.guard = state_ + "/guard";
  const auto refused = [&] {
    const auto started = agent_->start(guarded);
    return !started && started.error().reason == "not_guarded" && agent_->last(vm_).state == State::absent && !locked();
  };
  EXPECT_TRUE(refused());
  ASSERT_EQ(::mkfifo(guarded.guard.c_str(), 0600), 0);
  EXPECT_TRUE(refused());
  EXPECT_FALSE(std::filesystem::exists(directory().file("record.json")));
  const UniqueFd sentinel(::open(guarded.guard.c_str(), O_RDWR | O_CLOEXEC));
  const auto started = agent_->start(guarded);
  EXPECT_TRUE(started) << started.error().to_text();
  EXPECT_EQ(agent_->last(vm_).state, State::running);
}

TEST_F(HypervisorTest, KillStopsAStartUnderWay) {
  auto started = std::make_shared<std::promise<Result<void>>>();
  const auto killed = agent_->call([&, started](port::Hypervisor& hypervisor, const port::Done& done) {
    hypervisor.start(guest("task-1"), [started](const Result<void>& answer) { started->set_value(answer); });
    hypervisor.kill(vm_, done);
  });
  EXPECT_TRUE(killed);
  EXPECT_FALSE(started->get_future().get());
  EXPECT_EQ(agent_->last(vm_).state, State::ended);
  EXPECT_EQ(agent_->last(vm_).exit.reason(), v1::VmExit::FORCED);
  EXPECT_FALSE(locked());
}

TEST_F(HypervisorTest, AnswersEveryKillOfAGuestThatDoesNotListen) {
  for (const char* boot : {"task-1", "task-2"}) {
    ASSERT_TRUE(agent_->start(guest(boot)));
    ::kill(pid(), SIGSTOP);
    auto second = std::make_shared<std::promise<Result<void>>>();
    EXPECT_TRUE(agent_->call([this, second](port::Hypervisor& hypervisor, const port::Done& done) {
      hypervisor.kill(vm_, [second](const Result<void>& answer) { second->set_value(answer); });
      hypervisor.kill(vm_, done);
    }));
    EXPECT_TRUE(second->get_future().get());
    EXPECT_EQ(agent_->last(vm_).exit.reason(), v1::VmExit::FORCED);
    EXPECT_FALSE(locked());
  }
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
