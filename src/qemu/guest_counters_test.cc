#include "qemu/guest_counters.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace gantry::qemu {
namespace {

TEST(GuestCounters, FindsTheThreadsOfItsProcessors) {
  EXPECT_EQ(processor_threads_in(R"([{"thread-id": 17, "cpu-index": 0}, {"thread-id": 18, "cpu-index": 1}])"),
            (std::vector<pid_t>{17, 18}));
  EXPECT_TRUE(
      processor_threads_in(R"([{"thread-id": -1}, {"thread-id": "x"}, 3, {"thread-id": 99999999999}])").empty());
  EXPECT_TRUE(processor_threads_in("{}").empty());
  EXPECT_TRUE(processor_threads_in("no").empty());
}

TEST(GuestCounters, AddsUpDisks) {
  const auto disk = disk_counters_in(
      R"([{"device": "a", "stats": {"rd_bytes": 512, "wr_bytes": 1024, "rd_operations": 1, "wr_operations": 2,)"
      R"( "rd_total_time_ns": 1000000, "wr_total_time_ns": 2000000}}, {"stats": {"rd_bytes": 8}}, {"stats": []}, 5])");
  ASSERT_TRUE(disk);
  EXPECT_EQ(disk->read_bytes, 520U);
  EXPECT_EQ(disk->written_bytes, 1024U);
  EXPECT_EQ(disk->reads, 1U);
  EXPECT_EQ(disk->writes, 2U);
  EXPECT_DOUBLE_EQ(disk->read_seconds, 0.001);
  EXPECT_DOUBLE_EQ(disk->write_seconds, 0.002);
  EXPECT_FALSE(disk_counters_in("null"));
}

TEST(GuestCounters, KnowsWhatAGuestToldOfItsMemory) {
  const auto memory =
      guest_memory_in(R"({"stats": {"stat-total-memory": 1000, "stat-available-memory": 600, "stat-free-memory": 100},)"
                      R"( "last-update": 1700000000})");
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->told_unix, 1'700'000'000U);
  EXPECT_EQ(memory->used_bytes, 400U);
  const auto used = [](const std::string& stats) { return guest_memory_in(R"({"stats": )" + stats + "}")->used_bytes; };
  EXPECT_EQ(used(R"({"stat-total-memory": 1000, "stat-free-memory": 100})"), 900U) << "an older guest";
  EXPECT_EQ(used(R"({"stat-total-memory": 1000, "stat-available-memory": 18446744073709551615,)"
                 R"( "stat-free-memory": 18446744073709551615})"),
            std::nullopt)
      << "it tells neither";
  EXPECT_EQ(used(R"({"stat-total-memory": 18446744073709551615, "stat-free-memory": 5})"), std::nullopt);
  EXPECT_EQ(used(R"({"stat-total-memory": 5, "stat-available-memory": 6})"), std::nullopt) << "a guest may lie";
  EXPECT_EQ(used("[]"), std::nullopt);
  EXPECT_FALSE(guest_memory_in("[]"));
  EXPECT_FALSE(guest_memory_in("no"));
}

TEST(GuestCounters, ReadsTimesOfThreads) {
  const auto times = times_in("1500000000 250000000 17\n");
  ASSERT_TRUE(times);
  EXPECT_DOUBLE_EQ(times->run_seconds, 1.5);
  EXPECT_DOUBLE_EQ(times->wait_seconds, 0.25);
  EXPECT_FALSE(times_in(""));
  EXPECT_FALSE(times_in("15"));
  EXPECT_FALSE(times_in("a b c"));
}

TEST(GuestCounters, FindsTheInterfaceOfATap) {
  EXPECT_EQ(interface_in("pos:\t0\nflags:\t02104002\nmnt_id:\t15\nino:\t5\niff:\ttap-x.0\n"), "tap-x.0");
  EXPECT_EQ(interface_in("pos:\t0\nflags:\t02\n"), "");
}

TEST(GuestCounters, OfAProcessTheKernelTells) {
  // Some work for it to have done.
  volatile unsigned sum = 0;
  for (unsigned i = 0; i < 50'000'000; ++i) sum = sum + i;
  const port::GuestCounters counters = read_guest_counters(::getpid(), {::getpid()});
  EXPECT_GT(counters.cpu_seconds.value_or(0), 0);
  EXPECT_GE(counters.cpu_wait_seconds.value_or(-1), 0);
  EXPECT_GT(counters.memory_resident_bytes.value_or(0), 100'000U);
  EXPECT_FALSE(counters.network);
  const port::GuestCounters gone = read_guest_counters(::getpid(), {1});
  EXPECT_FALSE(gone.cpu_seconds) << "no thread of it";
}

}  // namespace
}  // namespace gantry::qemu
