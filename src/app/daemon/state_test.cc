#include "app/daemon/state.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "runtime/files.h"

namespace gantry::app {
namespace {

class StateTest : public testing::Test {
 protected:
  StateTest() {
    char pattern[] = "/tmp/gantry-state-XXXXXX";
    directory_ = ::mkdtemp(pattern);
  }
  ~StateTest() override { std::filesystem::remove_all(directory_); }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(directory_ + "/" + name, std::ios::binary) << text;
  }

  std::string directory_;
};

TEST_F(StateTest, EachStartIsALaterIncarnationOfTheSameHost) {
  auto first = open_state(directory_);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->incarnation, 1U);
  const std::string host_id = first->host_id;
  first->lock.reset();
  const auto second = open_state(directory_);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->incarnation, 2U);
  EXPECT_EQ(second->host_id, host_id);
}

TEST_F(StateTest, OnlyOneDaemonHasTheDirectory) {
  const auto first = open_state(directory_);
  ASSERT_TRUE(first);
  const auto second = open_state(directory_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::conflict);
}

// To begin at 1 again would make this host's news older than what the manager has.
TEST_F(StateTest, ADamagedIncarnationIsToldAndLeftAlone) {
  for (const std::string text :
       {"", "\n", "banana\n", "7x\n", "-1\n", " 7\n", "0\n", "18446744073709551615\n", "99999999999999999999\n"}) {
    write("incarnation", text);
    const auto opened = open_state(directory_);
    ASSERT_FALSE(opened) << text;
    EXPECT_EQ(opened.error().code, ErrorCode::corrupt) << text;
    EXPECT_FALSE(opened.error().cause.empty());
    EXPECT_FALSE(opened.error().next_step.empty());
    EXPECT_EQ(*runtime::read_file(directory_ + "/incarnation", 256), text);
  }
  write("incarnation", std::string(8, '\0'));
  EXPECT_FALSE(open_state(directory_));
  write("incarnation", "1700000000\n");
  const auto mended = open_state(directory_);
  ASSERT_TRUE(mended);
  EXPECT_EQ(mended->incarnation, 1700000001U);
}

TEST_F(StateTest, ADamagedHostIdIsTold) {
  write("host-id", "banana\n");
  const auto opened = open_state(directory_);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::corrupt);
}

}  // namespace
}  // namespace gantry::app
