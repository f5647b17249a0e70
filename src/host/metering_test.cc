#include "host/metering.h"

#include <gtest/gtest.h>

namespace gantry::host {
namespace {

constexpr const char* kHost = "host-1";
constexpr const char* kVm = "vm-1";

port::GuestCounters guest(double cpu_seconds, const std::string& process = "1") {
  return {.vm_id = kVm, .process = process, .cpu_seconds = cpu_seconds, .memory_resident_bytes = 1 << 20};
}

class MeteringTest : public testing::Test {
 protected:
  // Ten seconds after the last.
  std::vector<v1::Sample> step(std::vector<port::GuestCounters> guests, const port::HostCounters& host = {}) {
    now_ms_ += 10'000;
    return metering_.step(kHost, {.host = host, .guests = std::move(guests)}, now_ms_);
  }
  v1::VmSample of_guest(const port::GuestCounters& counters) {
    const auto samples = step({counters});
    return samples.size() == 2 ? samples[1].vm() : v1::VmSample();
  }

  Metering metering_;
  Milliseconds now_ms_ = 5'000'000;
};

TEST_F(MeteringTest, TellsWhatWasUsedSinceTheLookBefore) {
  of_guest(guest(100));
  const auto samples = step({guest(115)});
  ASSERT_EQ(samples.size(), 2U);
  EXPECT_EQ(samples[0].id(), kHost);
  EXPECT_EQ(samples[1].id(), kVm);
  EXPECT_DOUBLE_EQ(samples[1].vm().cpu_percent(), 150) << "one and a half processors";
}

TEST_F(MeteringTest, TheFirstLookTellsOnlyWhatIs) {
  const v1::VmSample sample = of_guest(guest(100));
  EXPECT_FALSE(sample.has_cpu_percent());
  EXPECT_EQ(sample.memory_resident_bytes(), 1 << 20);
}

TEST_F(MeteringTest, AnotherProcessBeginsAnew) {
  of_guest(guest(100, "1"));
  EXPECT_FALSE(of_guest(guest(200, "2")).has_cpu_percent());
  EXPECT_DOUBLE_EQ(of_guest(guest(201, "2")).cpu_percent(), 10);
}

TEST_F(MeteringTest, WhatIsCountedAnewOrNotAtAllIsLeftOut) {
  port::GuestCounters counters = guest(100);
  counters.disk = {.read_bytes = 1'000};
  of_guest(counters);
  counters.disk->read_bytes = 10;
  counters.cpu_seconds.reset();
  const v1::VmSample sample = of_guest(counters);
  EXPECT_FALSE(sample.has_disk_read_bytes_per_second());
  EXPECT_TRUE(sample.has_disk_reads_per_second());
  EXPECT_FALSE(sample.has_cpu_percent());
  EXPECT_FALSE(sample.has_network_sent_bytes_per_second());
}

TEST_F(MeteringTest, LatencyIsOfThoseThatWereAskedFor) {
  port::GuestCounters counters = guest(0);
  counters.disk = {.read_bytes = 0};
  of_guest(counters);
  counters.disk = {.read_bytes = 40'960, .reads = 10, .read_seconds = 0.05};
  const v1::VmSample sample = of_guest(counters);
  EXPECT_DOUBLE_EQ(sample.disk_read_bytes_per_second(), 4'096);
  EXPECT_DOUBLE_EQ(sample.disk_reads_per_second(), 1);
  EXPECT_DOUBLE_EQ(sample.disk_read_milliseconds(), 5);
  EXPECT_EQ(sample.disk_writes_per_second(), 0);
  EXPECT_TRUE(sample.has_disk_writes_per_second());
  EXPECT_FALSE(sample.has_disk_write_milliseconds()) << "there was none";
}

TEST_F(MeteringTest, OfTheHostItTellsSharesOfAllItsProcessors) {
  port::HostCounters host;
  host.processors = {.busy_seconds = 10, .wait_seconds = 1, .stolen_seconds = 0, .all_seconds = 1'000};
  host.network = {.received_bytes = 0, .sent_bytes = 500};
  step({}, host);
  host.processors = {.busy_seconds = 20, .wait_seconds = 2, .stolen_seconds = 4, .all_seconds = 1'040};
  host.network = {.received_bytes = 1'000, .sent_bytes = 500};
  const v1::HostSample sample = step({}, host).at(0).host();
  EXPECT_DOUBLE_EQ(sample.cpu_percent(), 25);
  EXPECT_DOUBLE_EQ(sample.cpu_wait_percent(), 2.5);
  EXPECT_DOUBLE_EQ(sample.cpu_stolen_percent(), 10);
  EXPECT_DOUBLE_EQ(sample.network_received_bytes_per_second(), 100);
  EXPECT_EQ(sample.network_sent_bytes_per_second(), 0);
  EXPECT_TRUE(sample.has_network_sent_bytes_per_second());
}

TEST_F(MeteringTest, TwoLooksAtOnceTellNothingOfRates) {
  of_guest(guest(100));
  const auto samples = metering_.step(kHost, {.host = {}, .guests = {guest(105)}}, now_ms_ + 1);
  EXPECT_FALSE(samples.at(1).vm().has_cpu_percent());
  EXPECT_DOUBLE_EQ(of_guest(guest(110)).cpu_percent(), 100) << "counted from the look that told";
}

TEST_F(MeteringTest, WhoWasAwayBeginsAnew) {
  of_guest(guest(100));
  EXPECT_EQ(step({}).size(), 1U);
  EXPECT_FALSE(of_guest(guest(300)).has_cpu_percent());
}

}  // namespace
}  // namespace gantry::host
