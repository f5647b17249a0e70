// What one process of the sentinel leaves to the next.
#include "app/sentinel/keeper.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

#include "app/sentinel/lease_file.h"
#include "qemu/guest_directory.h"
#include "qemu/process_facts.h"

namespace gantry::sentinel {
namespace {

namespace fs = std::filesystem;
constexpr const char* kVm = "vm-000000000001";

// One that is gone leaves nothing to be run on its loop.
struct Process {
  explicit Process(const std::string& state_directory) : keeper(loop, *runtime::BootTimer::make(), state_directory) {}
  bool eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 60'000; ++i) {
      if (condition()) return true;
      loop.context().restart();
      loop.context().run_one_for(std::chrono::milliseconds(1));
    }
    return false;
  }

  runtime::EventLoop loop;
  Keeper keeper;
};

class KeeperTest : public testing::Test {
 protected:
  KeeperTest() {
    std::string name = "/tmp/gantry-keeper-test-XXXXXX";
    directory_ = ::mkdtemp(name.data());
    fs::create_directories(directory_ / "pool" / "volumes");
    fs::create_directories(directory_ / "sentinel");
    fs::create_directories(directory_ / "vms" / kVm);
  }
  ~KeeperTest() override {
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
  }

  std::unique_ptr<Process> start() {
    auto process = std::make_unique<Process>(directory_);
    process->keeper.observer = [this](const port::LeaseObservation& told) { told_ = told; };
    return process;
  }
  [[nodiscard]] port::LeaseWish wish(std::uint64_t epoch) const {
    port::LeaseWish wish{.vm_id = kVm, .directory = directory_ / "pool", .host_id = "a", .epoch = epoch};
    wish.is_private = false;
    return wish;
  }
  [[nodiscard]] bool is(v1::LeaseStatus::State state) const { return told_.status.state() == state; }

  fs::path directory_;
  port::LeaseObservation told_;
};

// The guest that was to come did not. One who wins the lease all the same takes it from the host where it rests.
TEST_F(KeeperTest, TheNextProcessWinsNoLeaseThatNobodyWants) {
  const auto first = start();
  port::LeaseWish incoming = wish(2);
  incoming.incoming = true;
  first->keeper.want(incoming);
  ASSERT_TRUE(first->eventually([&] { return !told_.guard.empty(); }));
  Handover handover = first->keeper.handover();
  ASSERT_EQ(handover.wards.size(), 1U);
  EXPECT_TRUE(handover.wards[0].guarded);
  for (const bool comes : {true, false}) {
    handover.wards[0].wish.incoming = comes;
    told_ = {};
    const auto next = start();
    next->keeper.take_over(handover);
    EXPECT_EQ(told_.guard.empty(), !comes);
    // Of no lease.
    next->keeper.want(wish(2));
    EXPECT_EQ(told_.status.epoch(), 0U);
  }
}

// Its process may not have been gone yet when the one that had guarded it ended.
TEST_F(KeeperTest, TheNextProcessTakesNoLeaseBackFromWhereTheGuestWent) {
  ASSERT_TRUE(fs::create_directories(directory_ / "pool" / "leases"));
  LeaseFile file(directory_ / "pool", kVm, false);
  // Signed back: the VM is off.
  const host::LeaseRecord rests{.owner = "b", .epoch = 2, .counter = 7, .heir = "b", .heir_epoch = 2};
  ASSERT_TRUE(file.write({.record = rests, .create = true}));
  Ward left;
  left.wish = wish(3);
  left.memory = {.epoch = 1, .counter = 5, .renewed_ms = 1};
  const auto next = start();
  next->keeper.take_over({.wards = {left}});
  ASSERT_TRUE(next->eventually([&] { return is(v1::LeaseStatus::LOST); })) << told_.status.reason();
  const auto record = file.read();
  ASSERT_TRUE(record && *record);
  EXPECT_EQ((*record)->owner, "b");
}

TEST_F(KeeperTest, OfAGuestThatWasAwaitedInVainNothingIsLeft) {
  const auto process = start();
  port::LeaseWish incoming = wish(2);
  incoming.incoming = true;
  process->keeper.want(incoming);
  ASSERT_TRUE(process->eventually([&] { return !told_.guard.empty(); }));
  EXPECT_TRUE(fs::exists(guard_path(directory_, kVm)));
  process->keeper.want(wish(2));
  EXPECT_TRUE(process->eventually([&] { return process->keeper.handover().wards.empty(); }));
  EXPECT_FALSE(fs::exists(guard_path(directory_, kVm)));
}

// A process that went on with it would put the record back where its owner has removed it.
TEST_F(KeeperTest, WhatAnotherHostHasIsLeftToNobody) {
  const auto process = start();
  port::LeaseWish hold = wish(1);
  hold.hold = true;
  process->keeper.want(hold);
  ASSERT_TRUE(process->eventually([&] { return is(v1::LeaseStatus::HELD); })) << told_.status.reason();
  EXPECT_EQ(process->keeper.handover().wards.size(), 1U);
  port::LeaseWish over = wish(1);
  over.heir = "b";
  over.heir_epoch = 2;
  process->keeper.want(over);
  ASSERT_TRUE(process->eventually([&] { return is(v1::LeaseStatus::GIVEN); })) << told_.status.reason();
  EXPECT_TRUE(process->eventually([&] { return process->keeper.handover().wards.empty(); }));
  const auto record = LeaseFile(hold.directory, kVm, false).read();
  ASSERT_TRUE(record && *record);
  EXPECT_EQ((*record)->heir, "b");
  EXPECT_EQ((*record)->heir_epoch, 2U);
}

// The other host's guest would stand as long as this process is frozen.
TEST_F(KeeperTest, AProcessThatServesIsGuardedBeforeItIsFound) {
  const qemu::GuestDirectory directory(directory_, kVm);
  const std::string path = directory.file("record.json");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const auto process = start();
  port::LeaseWish hold = wish(1);
  hold.hold = true;
  process->keeper.want(hold);
  // It looks for the process just now, and gets its answer when everything else has happened.
  UniqueFd answer;
  ASSERT_TRUE(process->eventually([&] {
    answer.reset(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    return answer.valid() && is(v1::LeaseStatus::HELD);
  }));
  // Frozen: it is let go on when it is found.
  const pid_t pid = ::fork();
  if (pid == 0) {
    answer.reset();
    ::raise(SIGSTOP);
    while (true) ::pause();
  }
  ASSERT_EQ(::waitpid(pid, nullptr, WUNTRACED), pid);
  qemu::GuestRecord record{.vm_id = kVm, .boot_id = "task-1", .phase = qemu::GuestRecord::Phase::running};
  record.pid = pid;
  record.pid_start_ticks = qemu::process_facts(pid)->start_ticks;
  record.machine_boot_id = qemu::machine_boot_id();
  ASSERT_TRUE(directory.save(record));
  port::LeaseWish over = wish(1);
  over.heir = "b";
  over.heir_epoch = 2;
  over.serves = true;
  bool always_guarded = true;
  process->keeper.changed = [&] {
    const Handover handover = process->keeper.handover();
    always_guarded = always_guarded && handover.wards.size() == 1 && handover.wards[0].guarded;
  };
  process->keeper.want(over);
  ASSERT_TRUE(process->eventually([&] { return is(v1::LeaseStatus::GIVEN); })) << told_.status.reason();
  record.phase = qemu::GuestRecord::Phase::ended;
  const std::string before = to_text(record);
  ASSERT_EQ(::write(answer.get(), before.data(), before.size()), static_cast<ssize_t>(before.size()));
  answer.reset();
  EXPECT_TRUE(process->eventually([&] { return qemu::process_facts(pid)->state != 'T'; }));
  EXPECT_TRUE(always_guarded);
  ::kill(pid, SIGKILL);
  EXPECT_EQ(::waitpid(pid, nullptr, 0), pid);
  EXPECT_TRUE(process->eventually([&] { return process->keeper.handover().wards.empty(); }));
}

// Its record may come late once more, when a third host has the lease already.
TEST_F(KeeperTest, WhatWasGivenIsTakenAtOnceOnlyTheFirstTime) {
  ASSERT_TRUE(fs::create_directories(directory_ / "pool" / "leases"));
  LeaseFile file(directory_ / "pool", kVm, false);
  const host::LeaseRecord given{.owner = "b", .epoch = 1, .counter = 7, .heir = "a", .heir_epoch = 2};
  ASSERT_TRUE(file.write({.record = given, .create = true}));
  auto first = start();
  port::LeaseWish hold = wish(2);
  hold.hold = true;
  hold.was_given = true;
  first->keeper.want(hold);
  ASSERT_TRUE(first->eventually([&] { return is(v1::LeaseStatus::HELD); })) << told_.status.reason();
  Handover handover = first->keeper.handover();
  ASSERT_EQ(handover.wards.size(), 1U);
  first.reset();
  // As long after that process was gone that its right is over.
  ASSERT_TRUE(handover.wards[0].memory.held);
  handover.wards[0].memory.held = false;
  ASSERT_TRUE(file.write({.record = given}));
  const auto next = start();
  next->keeper.take_over(handover);
  ASSERT_TRUE(next->eventually(
      [&] { return told_.status.reason().find("just taken") != std::string::npos || is(v1::LeaseStatus::HELD); }));
  EXPECT_FALSE(is(v1::LeaseStatus::HELD));
}

}  // namespace
}  // namespace gantry::sentinel
