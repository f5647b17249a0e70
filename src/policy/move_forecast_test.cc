#include "policy/move_forecast.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace gantry::policy {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kMib = 1U << 20U;
constexpr std::uint64_t kGigabit = 119 * kMib;

TEST(MoveForecast, AnIdleGuestTakesTheTimeOfItsMemory) {
  const auto forecast = forecast_move({.memory_bytes = 1190 * kMib, .bytes_per_second = kGigabit});
  EXPECT_TRUE(forecast.converges);
  EXPECT_EQ(forecast.rounds, 1U);
  EXPECT_EQ(forecast.speed_percent, 100U);
  EXPECT_EQ(forecast.total_ms, 10'020);
  EXPECT_EQ(forecast.downtime_ms, 20);
}

TEST(MoveForecast, DisksGoFirst) {
  const auto forecast =
      forecast_move({.memory_bytes = 119 * kMib, .disk_bytes = 1190 * kMib, .bytes_per_second = kGigabit});
  EXPECT_EQ(forecast.total_ms, 11'020);
}

TEST(MoveForecast, ABusyGuestTakesMoreRoundsAndStaysWithinItsDowntime) {
  const auto forecast =
      forecast_move({.memory_bytes = 4096 * kMib, .dirty_bytes_per_second = 60 * kMib, .bytes_per_second = kGigabit});
  EXPECT_TRUE(forecast.converges);
  EXPECT_GT(forecast.rounds, 3U);
  EXPECT_EQ(forecast.speed_percent, 100U);
  EXPECT_LE(forecast.downtime_ms, 100);
}

TEST(MoveForecast, OneThatIsFasterThanTheWayIsSlowedDownAsLittleAsHelps) {
  const auto forecast =
      forecast_move({.memory_bytes = 1024 * kMib, .dirty_bytes_per_second = 200 * kMib, .bytes_per_second = kGigabit});
  EXPECT_TRUE(forecast.converges);
  EXPECT_LT(forecast.speed_percent, 60U);
  EXPECT_GE(forecast.speed_percent, 40U);
  EXPECT_THAT(forecast.reason, HasSubstr("slowed down to"));
}

TEST(MoveForecast, OneThatNothingHelpsIsRefusedWithItsRates) {
  const auto forecast = forecast_move(
      {.memory_bytes = 65536 * kMib, .dirty_bytes_per_second = 20000 * kMib, .bytes_per_second = kGigabit});
  EXPECT_FALSE(forecast.converges);
  EXPECT_THAT(forecast.reason, HasSubstr("20000.0 MiB/s"));
  EXPECT_THAT(forecast.reason, HasSubstr("119.0 MiB/s"));
}

TEST(MoveForecast, ByPostcopyNothingIsRefusedAndNobodyIsSlowedDown) {
  const auto busy = forecast_move({.memory_bytes = 1190 * kMib,
                                   .dirty_bytes_per_second = 20000 * kMib,
                                   .bytes_per_second = kGigabit,
                                   .postcopy = true});
  EXPECT_TRUE(busy.converges);
  EXPECT_TRUE(busy.fetches);
  EXPECT_EQ(busy.speed_percent, 100U);
  EXPECT_EQ(busy.rounds, 1U);
  EXPECT_EQ(busy.downtime_ms, 20);
  EXPECT_EQ(busy.total_ms, 20'020) << "once before it goes over, and once after";
  // One that converges is moved as ever.
  const auto calm = forecast_move({.memory_bytes = 1190 * kMib,
                                   .dirty_bytes_per_second = 10 * kMib,
                                   .bytes_per_second = kGigabit,
                                   .postcopy = true});
  EXPECT_FALSE(calm.fetches);
  EXPECT_GT(calm.rounds, 1U);
  EXPECT_LE(calm.downtime_ms, 100);
}

TEST(MoveForecast, ADowntimeThatLeavesNoTimeCannotBeKept) {
  EXPECT_FALSE(
      forecast_move(
          {.memory_bytes = kMib, .dirty_bytes_per_second = kMib, .bytes_per_second = kGigabit, .downtime_max_ms = 0})
          .converges);
}

TEST(MoveForecast, ExtremesAreNoTrouble) {
  constexpr auto kMost = std::numeric_limits<std::uint64_t>::max();
  EXPECT_FALSE(forecast_move(
                   {.memory_bytes = kMost, .disk_bytes = kMost, .dirty_bytes_per_second = kMost, .bytes_per_second = 1})
                   .converges);
  EXPECT_FALSE(forecast_move({}).converges);
}

// More load never makes a shorter move.
TEST(MoveForecast, GrowsWithTheLoad) {
  Milliseconds before_ms = 0;
  for (std::uint64_t dirty = 0; dirty <= 110; dirty += 10) {
    const auto forecast = forecast_move(
        {.memory_bytes = 2048 * kMib, .dirty_bytes_per_second = dirty * kMib, .bytes_per_second = kGigabit});
    if (forecast.speed_percent < 100) break;
    EXPECT_GE(forecast.total_ms, before_ms) << dirty;
    before_ms = forecast.total_ms;
  }
}

}  // namespace
}  // namespace gantry::policy
