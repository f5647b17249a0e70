// Whole sentinels, as the agent starts them, each over a state directory of its own as on a host of its own.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "app/sentinel/client.h"
#include "app/sentinel/keeper.h"
#include "qemu/guest_directory.h"
#include "qemu/launcher.h"
#include "qemu/process_facts.h"
#include "runtime/event_loop.h"
#include "runtime/worker_pool.h"

namespace gantry::sentinel {
namespace {

namespace fs = std::filesystem;
constexpr const char* kVm = "vm-000000000001";

bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 6'000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

// Those of that state directory.
std::vector<pid_t> sentinels_of(const std::string& state_directory) {
  std::vector<pid_t> found;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream file(entry.path() / "cmdline");
    const std::string line((std::istreambuf_iterator<char>(file)), {});
    const bool ours =
        line.find("gantry-sentinel") != std::string::npos && line.find(state_directory + '\0') != std::string::npos;
    if (ours) found.push_back(std::stoi(name));
  }
  return found;
}

// One host: its agent's client, and a process in the place of its guest.
class Host {
 public:
  Host(const fs::path& directory, std::string name) : name_(std::move(name)), state_(directory / name_) {
    fs::create_directories(state_ / "vms" / kVm);
    start_agent();
  }
  ~Host() {
    stop_agent();
    if (guest_) ::kill(guest_->pid(), SIGKILL);
    kill_sentinels();
  }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  void start_agent() {
    loop_ = std::make_unique<runtime::EventLoop>();
    workers_ = std::make_unique<runtime::WorkerPool>(1);
    client_ = std::make_unique<Client>(*loop_, *workers_, state_, GANTRY_SENTINEL);
    client_->observe([this](const port::LeaseObservation& seen) {
      const std::lock_guard lock(mutex_);
      seen_ = seen;
    });
    thread_ = std::thread([this] { loop_->run(); });
  }
  void stop_agent() {
    loop_->stop();
    thread_.join();
    workers_.reset();
    client_.reset();
  }
  void want(const fs::path& pool, std::uint64_t epoch) {
    port::LeaseWish wish{.vm_id = kVm, .directory = pool, .host_id = name_, .epoch = epoch};
    wish.is_private = false;
    wish.hold = true;
    loop_->post([this, wish] { client_->want(wish); });
  }
  [[nodiscard]] port::LeaseObservation seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
  }
  [[nodiscard]] bool holds() const { return seen().status.state() == v1::LeaseStatus::HELD; }
  void kill_sentinels() const {
    // Stopped first: each would replace the other.
    for (const pid_t pid : sentinels_of(state_)) ::kill(pid, SIGSTOP);
    eventually([this] {
      const auto left = sentinels_of(state_);
      for (const pid_t pid : left) ::kill(pid, SIGKILL);
      return left.empty();
    });
  }
  // As launch_guest() does it.
  Result<void> start_guest() {
    qemu::LaunchRequest request;
    request.argv = {"/bin/sleep", "1000"};
    request.error_output = UniqueFd(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    request.guard = UniqueFd(::open(guard_path(state_, kVm).c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    auto process = qemu::GatedProcess::make(std::move(request));
    if (!process) return fail(process.error());
    qemu::GuestRecord record{.vm_id = kVm, .boot_id = "task-1", .phase = qemu::GuestRecord::Phase::running};
    record.pid = process->pid();
    record.pid_start_ticks = qemu::process_facts(process->pid())->start_ticks;
    record.machine_boot_id = qemu::machine_boot_id();
    if (auto saved = qemu::GuestDirectory(state_, kVm).save(record); !saved) return saved;
    if (auto released = process->release(); !released) return released;
    guest_ = std::make_unique<qemu::GatedProcess>(std::move(*process));
    return {};
  }
  // 'S': it runs; 'T': frozen; 'Z', 'X': it has ended.
  [[nodiscard]] char guest() const {
    const auto facts = qemu::process_facts(guest_->pid());
    return facts ? facts->state : 'X';
  }
  // Not frozen: one that has just begun may be at work.
  [[nodiscard]] bool guest_goes_on() const { return guest() == 'S' || guest() == 'R' || guest() == 'D'; }

 private:
  std::string name_;
  fs::path state_;
  std::unique_ptr<runtime::EventLoop> loop_;
  std::unique_ptr<runtime::WorkerPool> workers_;
  std::unique_ptr<Client> client_;
  std::thread thread_;
  std::unique_ptr<qemu::GatedProcess> guest_;
  mutable std::mutex mutex_;
  port::LeaseObservation seen_;
};

class SentinelTest : public testing::Test {
 protected:
  SentinelTest() {
    std::string name = "/tmp/gantry-sentinel-test-XXXXXX";
    directory_ = ::mkdtemp(name.data());
    fs::create_directories(pool() / "volumes");
  }
  ~SentinelTest() override {
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
  }
  [[nodiscard]] fs::path pool() const { return directory_ / "pool"; }

  fs::path directory_;
};

TEST_F(SentinelTest, OfTwoHostsOnOneDirectoryOneRunsTheGuest) {
  Host a(directory_, "a");
  Host b(directory_, "b");
  a.want(pool(), 1);
  ASSERT_TRUE(eventually([&] { return a.holds(); })) << a.seen().status.reason();
  ASSERT_TRUE(a.start_guest());
  b.want(pool(), 2);
  ASSERT_TRUE(eventually([&] { return b.seen().status.state() == v1::LeaseStatus::WAITING; }));
  ASSERT_TRUE(eventually([&] {
    return b.seen().status.reason().find("host a at epoch 1 may still run it") != std::string::npos;
  })) << b.seen().status.reason();
  // Longer than it watches: the record does not stand still.
  for (int i = 0; i < 160; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    ASSERT_FALSE(b.holds());
    ASSERT_TRUE(a.holds());
    ASSERT_TRUE(a.guest_goes_on());
  }

  a.kill_sentinels();
  a.stop_agent();
  EXPECT_TRUE(eventually([&] { return a.guest() == 'T'; }));
  ASSERT_TRUE(eventually([&] {
    const bool taken = b.holds();
    EXPECT_TRUE(!taken || a.guest() == 'T');
    return taken;
  })) << b.seen().status.reason();
  ASSERT_TRUE(b.start_guest());

  // It comes back, and finds that it may not run it any more.
  a.start_agent();
  a.want(pool(), 1);
  EXPECT_TRUE(eventually([&] { return a.seen().status.state() == v1::LeaseStatus::LOST; })) << a.seen().status.reason();
  EXPECT_TRUE(eventually([&] { return a.guest() == 'Z' || a.guest() == 'X'; }));
  EXPECT_TRUE(b.guest_goes_on());
  EXPECT_TRUE(b.holds());
}

TEST_F(SentinelTest, APairThatLosesOneGoesOnWithoutAPause) {
  Host a(directory_, "a");
  a.want(pool(), 1);
  ASSERT_TRUE(eventually([&] { return a.holds(); })) << a.seen().status.reason();
  ASSERT_TRUE(a.start_guest());
  for (int i = 0; i < 4; ++i) {
    std::vector<pid_t> pair;
    ASSERT_TRUE(eventually([&] { return (pair = sentinels_of(directory_ / "a")).size() == 2; }));
    // Either may be the one that serves; it may hang, too.
    ::kill(pair[static_cast<std::size_t>(i % 2)], i < 2 ? SIGKILL : SIGSTOP);
    for (int k = 0; k < 400; ++k) {
      ASSERT_TRUE(a.guest_goes_on());
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  EXPECT_TRUE(eventually([&] { return a.holds(); }));
}

TEST_F(SentinelTest, NoGuestStartsWithoutAGuard) {
  Host a(directory_, "a");
  a.want(pool(), 1);
  ASSERT_TRUE(eventually([&] { return a.holds(); })) << a.seen().status.reason();
  a.stop_agent();
  a.kill_sentinels();
  const auto started = a.start_guest();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().reason, "not_guarded");
  a.start_agent();
}

TEST_F(SentinelTest, APoolThatIsNotMountedGivesNoLease) {
  fs::remove_all(pool() / "volumes");
  Host a(directory_, "a");
  a.want(pool(), 1);
  ASSERT_TRUE(eventually([&] { return a.seen().status.reason().find("not mounted") != std::string::npos; }));
  EXPECT_FALSE(fs::exists(pool() / "leases"));
  fs::create_directories(pool() / "volumes");
  EXPECT_TRUE(eventually([&] { return a.holds(); })) << a.seen().status.reason();
}

TEST_F(SentinelTest, WhatAHungPairSaidIsNotBelievedForLong) {
  Host a(directory_, "a");
  a.want(pool(), 1);
  ASSERT_TRUE(eventually([&] { return a.holds(); })) << a.seen().status.reason();
  const auto pair = sentinels_of(directory_ / "a");
  for (const pid_t pid : pair) ::kill(pid, SIGSTOP);
  EXPECT_TRUE(eventually([&] { return !a.holds(); }));
  EXPECT_NE(a.seen().status.reason().find("does not answer"), std::string::npos);
  for (const pid_t pid : pair) ::kill(pid, SIGCONT);
  EXPECT_TRUE(eventually([&] { return a.holds(); })) << a.seen().status.reason();
}

TEST_F(SentinelTest, ItEndsWhenThereIsNothingToGuard) {
  Host a(directory_, "a");
  a.want(pool(), 1);
  ASSERT_TRUE(eventually([&] { return a.holds(); })) << a.seen().status.reason();
  a.stop_agent();
  EXPECT_TRUE(eventually([&] { return sentinels_of(directory_ / "a").empty(); }));
  a.start_agent();
}

}  // namespace
}  // namespace gantry::sentinel
