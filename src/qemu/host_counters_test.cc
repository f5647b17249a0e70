#include "qemu/host_counters.h"

#include <gtest/gtest.h>

namespace gantry::qemu {
namespace {

bool all(std::string_view) { return true; }

TEST(HostCounters, ProcessorsAreBusyWaitOrAreStolen) {
  const auto processors = processors_in(
      "cpu  1000 200 300 8000 400 10 20 70 500 0\ncpu0 500 100 150 4000 200 5 10 35 250 0\nintr 1 2 3\n", 100);
  ASSERT_TRUE(processors);
  EXPECT_DOUBLE_EQ(processors->all_seconds, 100);
  EXPECT_DOUBLE_EQ(processors->wait_seconds, 4);
  EXPECT_DOUBLE_EQ(processors->stolen_seconds, 0.7);
  EXPECT_NEAR(processors->busy_seconds, 15.3, 1e-9);
  EXPECT_FALSE(processors_in("cpu 1 2\n", 100));
  EXPECT_FALSE(processors_in("", 100));
}

TEST(HostCounters, MemoryIsUsedThatNobodyElseCouldHave) {
  port::HostCounters counters;
  take_memory("MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    600 kB\nSwapTotal:  50 kB\nSwapFree: 40 kB\n",
              counters);
  EXPECT_EQ(counters.memory_total_bytes, 1'000U * 1'024);
  EXPECT_EQ(counters.memory_used_bytes, 400U * 1'024);
  EXPECT_EQ(counters.swap_used_bytes, 10U * 1'024);
  port::HostCounters odd;
  take_memory("MemTotal: 5 kB\nMemAvailable: 9 kB\nSwapTotal:", odd);
  EXPECT_FALSE(odd.memory_used_bytes);
  EXPECT_FALSE(odd.swap_used_bytes);
}

TEST(HostCounters, DisksAreAddedUp) {
  const auto disk = disks_in(
      " 254       0 vda 10 1 16 500 20 2 32 1000 0 9 9\n 254 1 vda1 10 1 16 500 20 2 32 1000 0 9 9\n"
      " 254 16 vdb 1 0 2 100 2 0 4 200 0 1 1\n 7 0 loop0\n",
      [](std::string_view name) { return name == "vda" || name == "vdb"; });
  ASSERT_TRUE(disk);
  EXPECT_EQ(disk->reads, 11U);
  EXPECT_EQ(disk->read_bytes, 18U * 512);
  EXPECT_DOUBLE_EQ(disk->read_seconds, 0.6);
  EXPECT_EQ(disk->writes, 22U);
  EXPECT_EQ(disk->written_bytes, 36U * 512);
  EXPECT_DOUBLE_EQ(disk->write_seconds, 1.2);
  EXPECT_FALSE(disks_in("", all));
}

TEST(HostCounters, InterfacesAreAddedUp) {
  const auto network = interfaces_in(
      "Inter-|   Receive  |  Transmit\n face |bytes packets errs|bytes\n    lo: 7 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n"
      "  eth0:100 1 0 0 0 0 0 0 50 1 0 0 0 0 0 0\n eth1: 1 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0\n",
      [](std::string_view name) { return name != "lo"; });
  ASSERT_TRUE(network);
  EXPECT_EQ(network->received_bytes, 101U);
  EXPECT_EQ(network->sent_bytes, 52U);
}

TEST(HostCounters, OfThisMachineProcessorsAndMemoryAreTold) {
  const port::HostCounters counters = read_host_counters();
  ASSERT_TRUE(counters.processors);
  EXPECT_GT(counters.processors->busy_seconds, 0);
  EXPECT_GT(counters.processors->all_seconds, counters.processors->busy_seconds);
  EXPECT_GT(counters.memory_used_bytes.value_or(0), 0U);
  EXPECT_GT(counters.memory_total_bytes, counters.memory_used_bytes);
}

}  // namespace
}  // namespace gantry::qemu
