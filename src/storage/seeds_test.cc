#include "storage/seeds.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "base/unique_fd.h"
#include "storage/testing.h"

namespace gantry::storage {
namespace {

class SeedsTest : public StorageTest {
 protected:
  Result<std::string> make(const std::map<std::string, std::string>& files) {
    return wait<std::string>([&](auto done) { storage->make_seed(kVmId, kUid, files, done); });
  }
  Result<void> remove_seed() {
    return wait<void>([&](auto done) { storage->delete_seed(kVmId, done); });
  }
  std::string content(const std::string& seed, const std::string& name) {
    const std::string out = directory.path("extracted-" + name);
    run({"xorriso", "-osirrox", "on", "-indev", seed, "-extract", "/" + name, out});
    return read_text(out);
  }
  [[nodiscard]] std::size_t files_there() const {
    const std::filesystem::directory_iterator entries(options.seed_directory);
    return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
  }
};

TEST_F(SeedsTest, ItHoldsTheFilesForItsUser) {
  const auto seed = make({{"user-data", "#cloud-config\n"}, {"meta-data", "instance-id: x\n"}, {"network-config", ""}});
  ASSERT_TRUE(seed.has_value()) << seed.error().to_text();
  EXPECT_EQ(read_text(*seed).substr(32808, 7), "cidata ");  // ECMA-119 8.4.7: the primary descriptor's volume name
  EXPECT_EQ(content(*seed, "user-data"), "#cloud-config\n");
  EXPECT_EQ(content(*seed, "meta-data"), "instance-id: x\n");
  EXPECT_EQ(content(*seed, "network-config"), "");
  struct stat file {};
  ASSERT_EQ(::lstat(seed->c_str(), &file), 0);
  EXPECT_EQ(file.st_uid, kUid);
  EXPECT_EQ(file.st_mode & 0777U, 0400U);
  EXPECT_EQ(files_there(), 1U);
}

// Users may pass through the directory: what is made there may be opened by all before it gets its mode.
TEST_F(SeedsTest, NoFileIsMadeWhereOthersCanPass) {
  ASSERT_TRUE(make({{"user-data", "one"}}).has_value());
  const UniqueFd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  ASSERT_GE(::inotify_add_watch(watch.get(), options.seed_directory.c_str(), IN_CREATE | IN_MOVED_TO), 0);
  ASSERT_TRUE(make({{"user-data", "two"}}).has_value());
  alignas(inotify_event) std::array<char, 4096> buffer{};
  const ssize_t size = ::read(watch.get(), buffer.data(), buffer.size());
  ASSERT_GT(size, 0);
  int moved = 0;
  for (ssize_t at = 0; at < size;) {
    const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
    const bool made_file = (event->mask & IN_CREATE) != 0 && (event->mask & IN_ISDIR) == 0;
    EXPECT_FALSE(made_file) << event->name;
    if ((event->mask & IN_MOVED_TO) != 0) ++moved;
    at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
  }
  EXPECT_EQ(moved, 1);
}

TEST_F(SeedsTest, ItIsMadeAnewAndRemoved) {
  ASSERT_TRUE(make({{"user-data", "one"}}).has_value());
  const auto again = make({{"user-data", "two"}});
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(content(*again, "user-data"), "two");
  ASSERT_TRUE(remove_seed().has_value());
  ASSERT_TRUE(remove_seed().has_value());
  EXPECT_EQ(files_there(), 0U);
}

TEST_F(SeedsTest, NoFilesNoSeed) {
  ASSERT_TRUE(make({{"user-data", "one"}}).has_value());
  EXPECT_EQ(make({}).value(), "");
  EXPECT_EQ(files_there(), 0U);
}

TEST_F(SeedsTest, NamesThatLeaveTheSeedAreRefused) {
  EXPECT_EQ(code_of(make({{"../user-data", "x"}})), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(make({{"", "x"}})), ErrorCode::invalid_argument);
}

TEST_F(SeedsTest, AFullFileSystemLeavesNothing) {
  mounts.mount(options.seed_directory, "64k");
  EXPECT_EQ(code_of(make({{"user-data", std::string(100'000, 'x')}})), ErrorCode::out_of_space);
  EXPECT_EQ(files_there(), 0U);
}

}  // namespace
}  // namespace gantry::storage
