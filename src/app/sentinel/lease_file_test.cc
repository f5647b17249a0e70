#include "app/sentinel/lease_file.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <thread>

namespace gantry::sentinel {
namespace {

namespace fs = std::filesystem;

// A directory on a file system that has no direct I/O, which only `use` sees.
void with_ramfs(const std::function<void(const std::string& pool)>& use) {
  std::string pool = "/tmp/gantry-lease-file-test-XXXXXX";
  ASSERT_NE(::mkdtemp(pool.data()), nullptr);
  std::thread([&] {
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(::mount("none", pool.c_str(), "ramfs", 0, nullptr), 0);
    fs::create_directories(pool + "/volumes");
    use(pool);
  }).join();
  fs::remove_all(pool);
}

TEST(LeaseFileTest, WhereNothingGoesPastTheCachesNoPoolIsShared) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  with_ramfs([](const std::string& pool) {
    const host::LeaseWrite first{.record = {.owner = "host-a", .epoch = 1, .counter = 1}, .create = true};
    const host::LeaseWrite next{.record = {.owner = "host-a", .epoch = 1, .counter = 2}};
    LeaseFile shared(pool, "vm-1", false);
    const auto made = shared.write(first);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, ErrorCode::unsupported);
    EXPECT_NE(made.error().cause.find("no direct I/O"), std::string::npos) << made.error().to_text();
    // Nothing is left that looks like somebody's.
    EXPECT_FALSE(fs::exists(pool + "/leases/vm-1"));

    // Nobody else sees a private one.
    LeaseFile own(pool, "vm-1", true);
    EXPECT_TRUE(own.write(first));
    const auto found = own.read();
    ASSERT_TRUE(found && *found);
    EXPECT_EQ((*found)->owner, "host-a");

    EXPECT_FALSE(shared.read());
    EXPECT_FALSE(shared.write(next));
    const auto kept = own.read();
    ASSERT_TRUE(kept && *kept);
    EXPECT_EQ((*kept)->counter, 1U);
  });
}

}  // namespace
}  // namespace gantry::sentinel
