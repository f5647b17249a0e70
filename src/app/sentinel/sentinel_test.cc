// Whole sentinels, as the agent starts them, each over a state directory of its own as on a host of its own.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "app/sentinel/client.h"
#include "app/sentinel/keeper.h"
#include "app/sentinel/lease_file.h"
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
  Host(const fs::path& directory, std::string name, std::string program = GANTRY_SENTINEL)
      : name_(std::move(name)), state_(directory / name_), program_(std::move(program)) {
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
    client_ = std::make_unique<Client>(*loop_, *workers_, state_, program_);
    client_->observe([this](const port::LeaseObservation& seen) {
      const std::lock_guard lock(mutex_);
      seen_ = seen;
      reasons_ += seen.status.reason() + "\n";
    });
    thread_ = std::thread([this] { loop_->run(); });
  }
  void stop_agent() {
    loop_->stop();
    thread_.join();
    workers_.reset();
    client_.reset();
  }
  void want(const fs::path& pool, std::uint64_t epoch, bool is_private = false) const {
    want(wish(pool, epoch, is_private));
  }
  void want(const port::LeaseWish& wish) const {
    loop_->post([this, wish] { client_->want(wish); });
  }
  [[nodiscard]] port::LeaseWish wish(const fs::path& pool, std::uint64_t epoch, bool is_private = false) const {
    port::LeaseWish wish{.vm_id = kVm, .directory = pool, .host_id = name_, .epoch = epoch};
    wish.is_private = is_private;
    wish.hold = true;
    return wish;
  }
  // A guest comes here, and is let run by nobody yet.
  void want_incoming(const fs::path& pool, std::uint64_t epoch) const {
    port::LeaseWish incoming = wish(pool, epoch);
    incoming.hold = false;
    incoming.incoming = true;
    want(incoming);
  }
  void want_given(const fs::path& pool, std::uint64_t epoch) const {
    port::LeaseWish given = wish(pool, epoch);
    given.was_given = true;
    want(given);
  }
  void sign_over(const fs::path& pool, std::uint64_t epoch, const std::string& heir, bool serves = false) const {
    port::LeaseWish over = wish(pool, epoch);
    over.hold = false;
    over.serves = serves;
    over.heir = heir;
    over.heir_epoch = epoch + 1;
    want(over);
  }
  [[nodiscard]] port::LeaseObservation seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
  }
  // Of anything that was told so far.
  [[nodiscard]] bool was_told(const std::string& words) const {
    const std::lock_guard lock(mutex_);
    return reasons_.find(words) != std::string::npos;
  }
  [[nodiscard]] bool is(v1::LeaseStatus::State state) const { return seen().status.state() == state; }
  [[nodiscard]] bool holds() const { return is(v1::LeaseStatus::HELD); }
  [[nodiscard]] bool guards() const { return !seen().guard.empty(); }
  void kill_sentinels() const {
    // Stopped first: each would replace the other.
    for (const pid_t pid : sentinels_of(state_)) ::kill(pid, SIGSTOP);
    eventually([this] {
      const auto left = sentinels_of(state_);
      for (const pid_t pid : left) ::kill(pid, SIGKILL);
      return left.empty();
    });
  }
  // Its sentinel's processes that have the guest's guard open.
  [[nodiscard]] std::vector<pid_t> guardians() const {
    std::vector<pid_t> found = sentinels_of(state_);
    std::erase_if(found, [this](pid_t pid) {
      std::error_code gone;
      fs::directory_iterator file("/proc/" + std::to_string(pid) + "/fd", gone);
      for (; !gone && file != fs::directory_iterator(); file.increment(gone)) {
        std::error_code closed;
        if (fs::read_symlink(file->path(), closed) == guard_path(state_, kVm)) return false;
      }
      return true;
    });
    return found;
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
  [[nodiscard]] bool guest_is_over() const { return guest() == 'Z' || guest() == 'X'; }
  // It may be anything else, from one moment to the next.
  [[nodiscard]] bool guest_goes_on() const { return guest() != 'T' && !guest_is_over(); }

 private:
  std::string name_;
  fs::path state_;
  std::string program_;
  std::unique_ptr<runtime::EventLoop> loop_;
  std::unique_ptr<runtime::WorkerPool> workers_;
  std::unique_ptr<Client> client_;
  std::thread thread_;
  std::unique_ptr<qemu::GatedProcess> guest_;
  mutable std::mutex mutex_;
  port::LeaseObservation seen_;
  std::string reasons_;
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
  EXPECT_TRUE(eventually([&] { return a.guest_is_over(); }));
  EXPECT_TRUE(b.guest_goes_on());
  EXPECT_TRUE(b.holds());
}

TEST_F(SentinelTest, AGuestMovesWithItsLeaseAndWaitsForNothing) {
  Host a(directory_, "a");
  Host b(directory_, "b");
  a.want(pool(), 1);
  ASSERT_TRUE(eventually([&] { return a.holds(); })) << a.seen().status.reason();
  ASSERT_TRUE(a.start_guest());
  b.want_incoming(pool(), 2);
  ASSERT_TRUE(eventually([&] { return b.guards(); }));
  EXPECT_TRUE(b.is(v1::LeaseStatus::NONE));
  EXPECT_EQ(b.seen().status.epoch(), 2U);
  ASSERT_TRUE(b.start_guest());

  a.sign_over(pool(), 1, "b");
  ASSERT_TRUE(eventually([&] {
    EXPECT_TRUE(b.guest_goes_on());
    return a.is(v1::LeaseStatus::GIVEN);
  })) << a.seen().status.reason();
  EXPECT_TRUE(eventually([&] { return a.guest_is_over(); }));
  b.want_given(pool(), 2);
  ASSERT_TRUE(eventually([&] {
    EXPECT_TRUE(b.guest_goes_on());
    return b.holds();
  })) << b.seen().status.reason();
  // Neither did it watch a's record nor wait for its own to settle.
  EXPECT_FALSE(b.was_told("may still run it"));
  EXPECT_FALSE(b.was_told("just taken"));

  // It is too late to change one's mind.
  a.want(pool(), 1);
  EXPECT_TRUE(eventually([&] { return a.is(v1::LeaseStatus::LOST); })) << a.seen().status.reason();
  EXPECT_TRUE(b.guest_goes_on());
  EXPECT_TRUE(b.holds());

  // And back again, to a host that had it before.
  a.want_incoming(pool(), 3);
  ASSERT_TRUE(eventually([&] { return a.guards(); }));
  ASSERT_TRUE(a.start_guest());
  b.sign_over(pool(), 2, "a");
  ASSERT_TRUE(eventually([&] { return b.is(v1::LeaseStatus::GIVEN); })) << b.seen().status.reason();
  a.want_given(pool(), 3);
  ASSERT_TRUE(eventually([&] {
    EXPECT_TRUE(a.guest_goes_on());
    return a.holds();
  })) << a.seen().status.reason();
  EXPECT_TRUE(eventually([&] { return b.guest_is_over(); }));
  EXPECT_FALSE(a.was_told("may still run it"));
}

TEST_F(SentinelTest, AProcessThatWaitsForAGuestIsGuardedAndNothingIsDoneToIt) {
  Host a(directory_, "a");
  Host b(directory_, "b");
  a.want(pool(), 1);
  ASSERT_TRUE(eventually([&] { return a.holds(); })) << a.seen().status.reason();
  b.want_incoming(pool(), 2);
  ASSERT_TRUE(eventually([&] { return b.guards(); }));
  ASSERT_TRUE(b.start_guest());
  // Whichever of the pair goes, the other guards it.
  std::vector<pid_t> pair;
  for (std::size_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(eventually([&] { return (pair = b.guardians()).size() == 2; }));
    ::kill(pair[i], SIGKILL);
    ASSERT_TRUE(eventually([&] {
      const auto now = b.guardians();
      return now.size() == 2 && std::find(now.begin(), now.end(), pair[i]) == now.end();
    }));
    ASSERT_TRUE(eventually([&] { return b.guards(); }));
    ASSERT_TRUE(b.guest_goes_on());
  }
  EXPECT_TRUE(b.is(v1::LeaseStatus::NONE));
  EXPECT_TRUE(a.holds());

  // Nobody guards it for a while: it is of no use any more, and the agent hears of it. Only the lease would thaw it.
  b.kill_sentinels();
  EXPECT_TRUE(eventually([&] { return b.guest() == 'T'; }));
  EXPECT_TRUE(eventually([&] { return b.was_told("the process that waits for the guest is frozen"); }));
  EXPECT_FALSE(b.guards());
  EXPECT_EQ(b.guest(), 'T');
}

// It stands anyway, and QEMU told to stop, frozen and let go on is what a move has no time for.
TEST_F(SentinelTest, AGuestThatCameIsNotStoppedBeforeItsLeaseIsHeld) {
  Host b(directory_, "b");
  b.want_incoming(pool(), 2);
  ASSERT_TRUE(eventually([&] { return b.guards(); }));
  ASSERT_TRUE(b.start_guest());
  fs::remove(pool() / "volumes");
  b.want_given(pool(), 2);
  ASSERT_TRUE(eventually([&] { return b.was_told("not mounted"); }));
  EXPECT_TRUE(b.is(v1::LeaseStatus::WAITING));
  EXPECT_TRUE(b.guest_goes_on());
  fs::create_directories(pool() / "volumes");
  fs::create_directories(pool() / "leases");
  const host::LeaseRecord given{.owner = "a", .epoch = 1, .counter = 1, .heir = "b", .heir_epoch = 2};
  ASSERT_TRUE(LeaseFile(pool(), kVm, false).write({.record = given, .create = true}));
  EXPECT_TRUE(eventually([&] { return b.holds(); })) << b.seen().status.reason();
  EXPECT_TRUE(b.guest_goes_on());
}

TEST_F(SentinelTest, AProcessThatServesIsLeftAndLetGoOnUntilItServesNoMore) {
  Host a(directory_, "a");
  a.want(pool(), 1);
  ASSERT_TRUE(eventually([&] { return a.holds(); })) << a.seen().status.reason();
  ASSERT_TRUE(a.start_guest());
  a.sign_over(pool(), 1, "b", true);
  ASSERT_TRUE(eventually([&] { return a.is(v1::LeaseStatus::GIVEN); })) << a.seen().status.reason();
  EXPECT_TRUE(a.guest_goes_on());
  // The kernel freezes it when nobody is left; the next ones know of it by the agent's wish.
  a.kill_sentinels();
  port::LeaseWish leaves = a.wish(pool(), 3);
  leaves.hold = false;
  leaves.incoming = true;
  leaves.serves = true;
  a.want(leaves);
  EXPECT_TRUE(eventually([&] { return a.guest_goes_on(); }));
  a.stop_agent();
  a.kill_sentinels();
  a.start_agent();
  a.want(leaves);
  EXPECT_TRUE(eventually([&] { return a.guest_goes_on(); }));
  a.sign_over(pool(), 3, "b");
  EXPECT_TRUE(eventually([&] { return a.guest_is_over(); }));
}

TEST_F(SentinelTest, ASentinelThatBeginsAnewSignsOverWhatItFinds) {
  Host a(directory_, "a");
  a.want(pool(), 1);
  ASSERT_TRUE(eventually([&] { return a.holds(); })) << a.seen().status.reason();
  ASSERT_TRUE(a.start_guest());
  a.stop_agent();
  a.kill_sentinels();
  a.start_agent();
  a.sign_over(pool(), 1, "b");
  // It wins it first, which takes its time.
  ASSERT_TRUE(eventually([&] { return a.is(v1::LeaseStatus::GIVEN); })) << a.seen().status.reason();
  EXPECT_TRUE(eventually([&] { return a.guest_is_over(); }));
  // A record that names an heir is known for what it is by whoever begins then.
  a.stop_agent();
  a.kill_sentinels();
  a.start_agent();
  a.sign_over(pool(), 1, "b");
  EXPECT_TRUE(eventually([&] { return a.is(v1::LeaseStatus::LOST); })) << a.seen().status.reason();
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

TEST_F(SentinelTest, AVersionThatWasInstalledOverItTakesOverInTheEnd) {
  const fs::path program = directory_ / "gantry-sentinel";
  fs::copy_file(GANTRY_SENTINEL, program);
  const Host a(directory_, "a", program);
  a.want(pool(), 1);
  std::vector<pid_t> pair;
  const auto both_there = [&] { return (pair = sentinels_of(directory_ / "a")).size() == 2; };
  ASSERT_TRUE(eventually([&] { return a.holds() && both_there(); })) << a.seen().status.reason();
  fs::copy_file(GANTRY_SENTINEL, directory_ / "new");
  fs::rename(directory_ / "new", program);
  const auto is_new = [&](pid_t pid) {
    std::error_code error;
    return fs::read_symlink("/proc/" + std::to_string(pid) + "/exe", error) == program;
  };
  EXPECT_FALSE(is_new(pair[0]) || is_new(pair[1]));
  // What stood by goes on, and starts another.
  ::kill(std::min(pair[0], pair[1]), SIGKILL);
  EXPECT_TRUE(eventually([&] { return both_there() && (is_new(pair[0]) || is_new(pair[1])); }));
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

// Nobody else can have it: to stop a guest because a disk is slow or full gains nothing.
TEST_F(SentinelTest, APrivatePoolThatFailsStopsNobody) {
  Host a(directory_, "a");
  a.want(pool(), 1, true);
  ASSERT_TRUE(eventually([&] { return a.holds(); })) << a.seen().status.reason();
  ASSERT_TRUE(a.start_guest());
  fs::rename(pool() / "leases", pool() / "away");
  std::ofstream(pool() / "leases") << "no directory";
  ASSERT_TRUE(eventually([&] {
    EXPECT_TRUE(a.guest_goes_on());
    return !a.seen().status.reason().empty();
  }));
  EXPECT_NE(a.seen().status.reason().find("its record cannot be used"), std::string::npos) << a.seen().status.reason();
  // Longer than one whose lease lapsed would be left to itself.
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(a.guest_goes_on());
    ASSERT_TRUE(a.holds());
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  // Whoever goes on in the place of the one that serves knows it, too.
  const auto pair = sentinels_of(directory_ / "a");
  ASSERT_EQ(pair.size(), 2U);
  ::kill(std::min(pair[0], pair[1]), SIGKILL);
  ASSERT_TRUE(eventually([&] {
    EXPECT_TRUE(a.guest_goes_on());
    return a.was_told("it has just ended") && a.holds() && !a.seen().status.reason().empty();
  }));
  fs::remove(pool() / "leases");
  fs::rename(pool() / "away", pool() / "leases");
  ASSERT_TRUE(eventually([&] {
    EXPECT_TRUE(a.guest_goes_on());
    return a.holds() && a.seen().status.reason().empty();
  })) << a.seen().status.reason();
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

TEST_F(SentinelTest, ASentinelThatCannotBeStartedIsTold) {
  const Host nowhere(directory_, "nowhere", directory_ / "gantry-sentinel");
  const Host fails(directory_, "fails", "/bin/false");
  // As one whose socket somebody removed.
  const Host silent(directory_, "silent", "/bin/true");
  nowhere.want(pool(), 1);
  fails.want(pool(), 1);
  silent.want(pool(), 1);
  EXPECT_TRUE(eventually([&] {
    return nowhere.was_told("the sentinel cannot be reached: cannot run " +
                            std::string(directory_ / "gantry-sentinel") +
                            ": the program is not installed (it comes with gantryd and must lie there)");
  })) << nowhere.seen().status.reason();
  EXPECT_TRUE(eventually([&] { return fails.was_told("/bin/false ended with status 1"); }));
  EXPECT_TRUE(eventually([&] { return silent.was_told("it is there, but takes no connection at "); }));
}

TEST_F(SentinelTest, ASentinelThatEndsAtOnceIsTold) {
  const fs::path program = directory_ / "gantry-sentinel";
  // It has its lock and its socket, and nothing to write to.
  std::ofstream(program) << "#!/bin/sh\nulimit -n 7\nexec " GANTRY_SENTINEL " \"$@\"\n";
  fs::permissions(program, fs::perms::owner_all);
  const Host a(directory_, "a", program);
  a.want(pool(), 1);
  EXPECT_TRUE(eventually([&] { return a.was_told("the sentinel ended before it served"); }))
      << a.seen().status.reason();
}

TEST_F(SentinelTest, ItNeedsNoLogAndKeepsOneSmall) {
  const fs::path log = directory_ / "a/sentinel/log";
  fs::create_directories(log);
  const Host a(directory_, "a");
  a.want(pool(), 1);
  ASSERT_TRUE(eventually([&] { return a.holds(); })) << a.seen().status.reason();

  const fs::path other_log = directory_ / "b/sentinel/log";
  const Host b(directory_, "b");
  b.want(pool(), 2);
  ASSERT_TRUE(eventually([&] { return fs::exists(other_log); }));
  std::ofstream(other_log) << std::string(2U << 20U, 'x');
  EXPECT_TRUE(eventually([&] { return fs::file_size(other_log) < (1U << 20U); }));
}

TEST_F(SentinelTest, WhatItWillNeedIsNotSwappedOut) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const Host a(directory_, "a");
  a.want(pool(), 1);
  ASSERT_TRUE(eventually([&] { return a.holds(); })) << a.seen().status.reason();
  const pid_t serves = sentinels_of(directory_ / "a").front();
  // What comes after its start, as its threads' stacks, only where a machine lets it have all it asks for.
  rlimit limit{};
  ASSERT_EQ(::prlimit(serves, RLIMIT_MEMLOCK, nullptr, &limit), 0);
  std::ifstream maps("/proc/" + std::to_string(serves) + "/smaps");
  std::string mapping;
  bool saw_stack = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.find(" rw-p ") != std::string::npos) mapping = line;
    if (!line.starts_with("VmFlags:") || mapping.empty()) continue;
    const bool is_stack = mapping.ends_with("[stack]");
    if (is_stack || limit.rlim_cur == RLIM_INFINITY) {
      EXPECT_NE(line.find(" lo"), std::string::npos) << mapping << ": " << line;
    }
    saw_stack = saw_stack || is_stack;
    mapping.clear();
  }
  EXPECT_TRUE(saw_stack);
}

TEST_F(SentinelTest, WhatAPairSaidThatIsGoneIsNotBelieved) {
  const Host a(directory_, "a");
  a.want(pool(), 1);
  ASSERT_TRUE(eventually([&] { return a.holds(); })) << a.seen().status.reason();
  a.kill_sentinels();
  EXPECT_TRUE(eventually([&] { return a.was_told("the sentinel cannot be reached: it has just ended"); }));
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
