// What real QEMU processes and this machine are told to have used.
#include <gtest/gtest.h>
#include <signal.h>

#include "qemu/test_fixture.h"

namespace gantry::qemu {
namespace {

class GuestMeterTest : public GuestTest {
 protected:
  void SetUp() override {
    GuestTest::SetUp();
    ASSERT_TRUE(agent_->start(guest("task-1")));
    ASSERT_TRUE(boots_reach(1));
  }
};

TEST_F(GuestMeterTest, CountsOfGuestsAndTheirHostGrow) {
  const port::Counters before = agent_->counters();
  ASSERT_EQ(before.guests.size(), 1U);
  const port::GuestCounters& first = before.guests[0];
  EXPECT_EQ(first.vm_id, vm_);
  EXPECT_GT(first.memory_resident_bytes.value_or(0), 1U << 20U);
  ASSERT_TRUE(first.disk);
  EXPECT_GT(first.disk->reads, 0U) << "it has read its boot sector";
  EXPECT_GE(first.disk->read_bytes, 512U);
  EXPECT_FALSE(first.network) << "it has no NIC";
  port::Counters after;
  EXPECT_TRUE(becomes([&] {
    after = agent_->counters();
    return after.guests.at(0).cpu_seconds > first.cpu_seconds;
  }));
  EXPECT_EQ(after.guests.at(0).process, first.process);
  ASSERT_TRUE(before.host.processors && after.host.processors);
  EXPECT_GT(after.host.processors->all_seconds, before.host.processors->all_seconds);
}

TEST_F(GuestMeterTest, OfAQemuThatHangsTheKernelTells) {
  ASSERT_TRUE(agent_->counters().guests.at(0).cpu_seconds);
  ASSERT_EQ(::kill(pid(), SIGSTOP), 0);
  const port::Counters counters = agent_->counters();
  ASSERT_EQ(::kill(pid(), SIGCONT), 0);
  ASSERT_EQ(counters.guests.size(), 1U);
  EXPECT_TRUE(counters.guests[0].cpu_seconds) << "its processors were known";
  EXPECT_GT(counters.guests[0].memory_resident_bytes.value_or(0), 0U);
  EXPECT_FALSE(counters.guests[0].disk);
}

TEST_F(GuestMeterTest, AnotherBootIsAnotherProcess) {
  const std::string before = agent_->counters().guests.at(0).process;
  ASSERT_TRUE(agent_->kill(vm_));
  EXPECT_TRUE(agent_->counters().guests.empty());
  ASSERT_TRUE(agent_->start(guest("task-2")));
  EXPECT_NE(agent_->counters().guests.at(0).process, before);
}

}  // namespace
}  // namespace gantry::qemu
