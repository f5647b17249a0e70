#include "qemu/cgroup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "qemu/cgroup_mounts.h"

namespace gantry::qemu {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string read(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const std::string& path, std::string_view content) { std::ofstream(path) << content; }

TEST(CgroupMounts, AreFoundAmongOthers) {
  const auto mounts = parse_cgroup_mounts(
      "23 1 254:0 / / rw - ext4 /dev/root rw\n"
      "32 31 0:29 / /sys/fs/cgroup/cpu\\040x rw,relatime shared:4 master:2 - cgroup cgroup rw,cpu,cpuacct\n"
      "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n");
  ASSERT_EQ(mounts.size(), 2U);
  EXPECT_FALSE(mounts[0].v2);
  EXPECT_EQ(mounts[0].path, "/sys/fs/cgroup/cpu x");
  EXPECT_THAT(mounts[0].controllers, ElementsAre("rw", "cpu", "cpuacct"));
  EXPECT_TRUE(mounts[1].v2);
}

TEST(CgroupMounts, PassOverBrokenLines) {
  EXPECT_TRUE(parse_cgroup_mounts("").empty());
  EXPECT_TRUE(parse_cgroup_mounts("- cgroup cgroup rw,cpu\n1 2 3 / /p\n1 2 3 / /p rw - cgroup2\n\n- - - -").empty());
}

// A directory that looks like a mounted tree. A real one fills new groups with files; here the test does.
class FakeCgroups : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "gantry-cgroup-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  std::string make(const std::string& group, std::initializer_list<const char*> files) {
    std::filesystem::create_directories(root_ + "/" + group);
    for (const char* file : files) write(root_ + "/" + group + "/" + file, "");
    return root_ + "/" + group;
  }
  [[nodiscard]] std::string mount_v2() const { return "1 2 0:1 / " + root_ + " rw - cgroup2 cgroup2 rw\n"; }
  [[nodiscard]] std::string mount_v1(const std::string& controllers) const {
    return "1 2 0:1 / " + root_ + "/" + controllers + " rw - cgroup cgroup rw," + controllers + "\n";
  }
  std::string root_;
};

TEST_F(FakeCgroups, OfVersion2LimitAGuest) {
  make("", {"cgroup.subtree_control"});
  write(root_ + "/cgroup.controllers", "cpuset cpu io memory hugetlb pids\n");
  make("gantry", {"cgroup.subtree_control", "cpu.weight"});
  const std::string guest = make("gantry/vm-1", {"cgroup.procs", "cpu.weight", "memory.max", "pids.max"});
  const Cgroups groups = Cgroups::detect_in(mount_v2());
  EXPECT_EQ(groups.version(), "v2");
  EXPECT_EQ(groups.trouble(), "");
  const auto made = groups.make_for_guest("vm-1", 2, 1024);
  ASSERT_TRUE(made) << made.error().to_text();
  EXPECT_EQ(read(root_ + "/cgroup.subtree_control"), "+cpu +memory +pids");
  EXPECT_EQ(read(root_ + "/gantry/cgroup.subtree_control"), "+cpu +memory +pids");
  EXPECT_EQ(read(root_ + "/gantry/cpu.weight"), "1000");
  EXPECT_EQ(read(guest + "/cpu.weight"), "200");
  EXPECT_EQ(read(guest + "/memory.max"), std::to_string((1024ULL + 128 + 1536) << 20U));
  EXPECT_EQ(read(guest + "/pids.max"), "514");
  ASSERT_TRUE(groups.join("vm-1", 4711));
  EXPECT_EQ(read(guest + "/cgroup.procs"), "4711");
  EXPECT_THAT(groups.join_files("vm-1"), ElementsAre(guest + "/cgroup.procs"));
}

TEST_F(FakeCgroups, OfVersion2DoWithWhatControllersThereAre) {
  make("", {"cgroup.subtree_control"});
  write(root_ + "/cgroup.controllers", "memory\n");
  make("gantry", {"cgroup.subtree_control"});
  const std::string guest = make("gantry/vm-1", {"memory.max"});
  const Cgroups groups = Cgroups::detect_in(mount_v2());
  EXPECT_THAT(groups.trouble(), HasSubstr("cpu, pids: they are not mounted"));
  ASSERT_TRUE(groups.make_for_guest("vm-1", 1, 512));
  EXPECT_NE(read(guest + "/memory.max"), "");
}

TEST_F(FakeCgroups, OfVersion1AreTreesApart) {
  make("cpu/gantry", {"cpu.shares"});
  const std::string cpu = make("cpu/gantry/vm-1", {"cpu.shares", "cgroup.procs"});
  const std::string memory = make("memory/gantry/vm-1", {"memory.limit_in_bytes", "cgroup.procs"});
  const std::string pids = make("pids/gantry/vm-1", {"pids.max", "cgroup.procs"});
  // As where systemd runs "hybrid": a unified tree without controllers beside.
  write(make("unified", {}) + "/cgroup.controllers", "\n");
  const Cgroups groups = Cgroups::detect_in("1 2 0:1 / " + root_ + "/unified rw - cgroup2 cgroup2 rw\n" +
                                            mount_v1("cpu") + mount_v1("memory") + mount_v1("pids"));
  EXPECT_EQ(groups.version(), "v1");
  EXPECT_EQ(groups.trouble(), "");
  ASSERT_TRUE(groups.make_for_guest("vm-1", 4, 512));
  EXPECT_EQ(read(root_ + "/cpu/gantry/cpu.shares"), "10240");
  EXPECT_EQ(read(cpu + "/cpu.shares"), "4096");
  EXPECT_EQ(read(memory + "/memory.limit_in_bytes"), std::to_string((512ULL + 64 + 1536) << 20U));
  EXPECT_EQ(read(pids + "/pids.max"), "516");
  ASSERT_TRUE(groups.join("vm-1", 99));
  for (const std::string& group : {cpu, memory, pids}) EXPECT_EQ(read(group + "/cgroup.procs"), "99");
}

TEST_F(FakeCgroups, RefuseNamesThatLeadElsewhere) {
  make("", {"cgroup.subtree_control"});
  write(root_ + "/cgroup.controllers", "memory\n");
  const Cgroups groups = Cgroups::detect_in(mount_v2());
  for (const char* id : {"", "..", "../x", "a/b"}) {
    EXPECT_FALSE(groups.make_for_guest(id, 1, 1)) << id;
    EXPECT_FALSE(groups.join(id, 1)) << id;
    EXPECT_FALSE(groups.remove(id)) << id;
  }
}

TEST_F(FakeCgroups, NameWhatCannotBeWritten) {
  make("", {"cgroup.subtree_control"});
  write(root_ + "/cgroup.controllers", "memory\n");
  make("gantry", {"cgroup.subtree_control"});
  const auto made = Cgroups::detect_in(mount_v2()).make_for_guest("vm-1", 1, 1);
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().to_text(), HasSubstr("/gantry/vm-1/memory.max"));
}

TEST(Cgroups, AreDoneWithoutWhereThereAreNone) {
  const Cgroups groups = Cgroups::detect_in("23 1 254:0 / / rw - ext4 /dev/root rw\n");
  EXPECT_EQ(groups.version(), "");
  EXPECT_THAT(groups.trouble(), HasSubstr("not mounted"));
  EXPECT_TRUE(groups.make_for_guest("vm-1", 1, 512));
  EXPECT_TRUE(groups.join("vm-1", ::getpid()));
  EXPECT_TRUE(groups.remove("vm-1"));
}

// The machine's own: a process is moved in, seen there, ended, and nothing is left.
TEST(Cgroups, OfThisMachineHoldAProcess) {
  const Cgroups groups = Cgroups::detect();
  const Cgroups others = Cgroups::detect(".other");
  if (groups.version().empty()) GTEST_SKIP() << groups.trouble();
  const std::string id = "vm-test-" + std::to_string(::getpid());
  const auto made = groups.make_for_guest(id, 2, 256);
  ASSERT_TRUE(made) << made.error().to_text();
  ASSERT_TRUE(groups.make_for_guest(id, 3, 256)) << "a second time changes the limits";
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  const auto joined = groups.join(id, child);
  EXPECT_TRUE(joined) << joined.error().to_text();
  for (const std::string& file : groups.join_files(id)) EXPECT_EQ(read(file), std::to_string(child) + "\n");
  const auto too_early = groups.remove(id);
  ASSERT_FALSE(too_early);
  EXPECT_EQ(too_early.error().code, ErrorCode::conflict);
  EXPECT_TRUE(others.make_for_guest(id, 2, 256));
  EXPECT_TRUE(others.remove(id)) << "another daemon's is another";
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(groups.join(id, child).error().code, ErrorCode::not_found);
  // An ended process leaves its group a moment after it was waited for.
  Result<void> removed = groups.remove(id);
  for (int tries = 0; !removed && tries < 1'000'000; ++tries) {
    std::this_thread::yield();
    removed = groups.remove(id);
  }
  EXPECT_TRUE(removed) << removed.error().to_text();
  EXPECT_TRUE(groups.remove(id)) << "there is nothing to remove";
}

}  // namespace
}  // namespace gantry::qemu
