#include "metrics/history.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <optional>

namespace gantry::metrics {
namespace {

namespace fs = std::filesystem;

// The beginning of an hour.
constexpr Seconds kBegin = 1'700'000'000 - 1'700'000'000 % 3'600;
constexpr std::size_t kColumns = 2;

class HistoryTest : public testing::Test {
 protected:
  HistoryTest() {
    std::string name = "/tmp/gantry-history-test-XXXXXX";
    directory_ = ::mkdtemp(name.data());
    open(kBegin);
  }
  ~HistoryTest() override {
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
  }

  void open(Seconds now) {
    history_.reset();
    auto opened = History::open(directory_ / "vms", kColumns, now);
    ASSERT_TRUE(opened) << opened.error().to_text();
    history_.emplace(std::move(*opened));
  }
  Result<void> add(Seconds now, std::string_view id, double first, double second = kNoValue) {
    const std::vector<double> values = {first, second};
    const Sample sample{.id = id, .values = values};
    return history_->add(now, std::span(&sample, 1));
  }
  // Each ten seconds until then, the first column's value is the hour of the day.
  void add_until(Seconds from, Seconds to, std::string_view id, Seconds step = kSampleStep) {
    for (Seconds at = from; at < to; at += step) ASSERT_TRUE(add(at, id, hour_of_day(at)));
  }
  static double hour_of_day(Seconds at) { return static_cast<double>(at / 3'600 % 24); }
  Series query(std::string_view id, Seconds from, Seconds to, std::size_t points_max = 0) {
    auto series = history_->query({.id = id, .columns = {0}, .from = from, .to = to, .points_max = points_max});
    EXPECT_TRUE(series) << series.error().to_text();
    return series ? std::move(*series) : Series{};
  }
  double average(std::string_view id, Seconds from, Seconds to) {
    return query(id, from, to, 1).columns.at(0).at(0).average;
  }
  [[nodiscard]] std::size_t files(const std::string& prefix) const {
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator(directory_ / "vms")) {
      count += entry.path().filename().string().starts_with(prefix) ? 1 : 0;
    }
    return count;
  }

  fs::path directory_;
  std::optional<History> history_;
};

TEST_F(HistoryTest, TheLastHourIsThereEachTenSeconds) {
  for (Seconds i = 0; i < 540; ++i) ASSERT_TRUE(add(kBegin + i * 10, "vm-1", static_cast<double>(i)));
  const Series series = query("vm-1", kBegin + 1'800, kBegin + 5'400);
  EXPECT_EQ(series.begin, kBegin + 1'800);
  EXPECT_EQ(series.step, 10);
  ASSERT_EQ(series.columns.at(0).size(), 360U);
  for (std::size_t i = 0; i < 360; ++i) EXPECT_EQ(series.columns[0][i].average, static_cast<double>(180 + i));
}

TEST_F(HistoryTest, WhereNothingIsKnownOfBeforeEachTenSecondsAreTold) {
  add_until(kBegin, kBegin + 100, "one");
  const Series series = query("one", kBegin - 3'000, kBegin + 100);
  EXPECT_EQ(series.step, kSampleStep);
  EXPECT_TRUE(std::isnan(series.columns.at(0).at(0).average));
  EXPECT_DOUBLE_EQ(series.columns.at(0).back().average, hour_of_day(kBegin));
}

TEST_F(HistoryTest, WhatWasNotMeasuredIsNotZero) {
  ASSERT_TRUE(add(kBegin, "vm-1", 0));
  ASSERT_TRUE(add(kBegin + 10, "vm-2", 5));
  ASSERT_TRUE(add(kBegin + 20, "vm-1", kNoValue, 7));
  const auto points = query("vm-1", kBegin, kBegin + 30).columns.at(0);
  EXPECT_EQ(points.at(0).average, 0);
  EXPECT_TRUE(std::isnan(points.at(1).average));
  EXPECT_TRUE(std::isnan(points.at(2).average));
  EXPECT_TRUE(std::isnan(average("vm-9", kBegin, kBegin + 30)));
}

TEST_F(HistoryTest, FewerPointsTellTheAverageAndTheMost) {
  for (Seconds i = 0; i < 360; ++i) ASSERT_TRUE(add(kBegin + i * 10, "vm-1", i % 6 == 0 ? 60 : 0));
  const Series series = query("vm-1", kBegin, kBegin + 3'600, 60);
  EXPECT_EQ(series.step, 60);
  ASSERT_EQ(series.columns.at(0).size(), 60U);
  for (const Point& point : series.columns[0]) {
    EXPECT_EQ(point.average, 10);
    EXPECT_EQ(point.most, 60);
  }
}

TEST_F(HistoryTest, WhatIsOlderIsThereInStepsOfFiveMinutes) {
  add_until(kBegin, kBegin + 5 * 3'600, "vm-1");
  EXPECT_LE(files("samples-"), 2U) << "an hour of them is kept, and what came since";
  const Series series = query("vm-1", kBegin, kBegin + 5 * 3'600);
  EXPECT_EQ(series.step, 300);
  ASSERT_EQ(series.columns.at(0).size(), 60U);
  for (std::size_t i = 0; i < 60; ++i) {
    EXPECT_EQ(series.columns[0][i].average, hour_of_day(kBegin + static_cast<Seconds>(i) * 300)) << i;
  }
}

TEST_F(HistoryTest, AMonthIsKeptAndNoMore) {
  add_until(kBegin, kBegin + 32 * 86'400, "vm-1", 1'800);
  EXPECT_LE(files("summaries-"), 721U);
  const Seconds end = kBegin + 32 * 86'400;
  const Series series = query("vm-1", end - kSummariesKept, end, 720);
  ASSERT_EQ(series.columns.at(0).size(), 720U);
  for (std::size_t i = 0; i < 720; ++i) {
    EXPECT_EQ(series.columns[0][i].average, hour_of_day(series.begin + static_cast<Seconds>(i) * 3'600)) << i;
  }
  EXPECT_TRUE(std::isnan(average("vm-1", kBegin, kBegin + 86'400)));
}

TEST_F(HistoryTest, ARestartLosesNothing) {
  add_until(kBegin, kBegin + 4'000, "vm-1");
  ASSERT_TRUE(add(kBegin + 4'000, "vm-2", 1));
  open(kBegin + 4'010);
  EXPECT_EQ(query("vm-1", kBegin, kBegin + 4'000).columns.at(0).size(), 400U);
  EXPECT_EQ(average("vm-1", kBegin + 3'990, kBegin + 4'000), hour_of_day(kBegin + 3'990));
  ASSERT_TRUE(add(kBegin + 4'010, "vm-1", 17));
  EXPECT_EQ(average("vm-1", kBegin + 4'010, kBegin + 4'020), 17);
  EXPECT_EQ(average("vm-2", kBegin + 4'000, kBegin + 4'010), 1);
}

TEST_F(HistoryTest, AnHourThatEndedWhileNobodyRanIsSummedUpLater) {
  add_until(kBegin, kBegin + 1'000, "vm-1");
  open(kBegin + 30 * 3'600);
  EXPECT_EQ(files("samples-"), 0U);
  EXPECT_EQ(average("vm-1", kBegin, kBegin + 900), hour_of_day(kBegin));
}

TEST_F(HistoryTest, WhatACrashLeftHalfWrittenIsCutOff) {
  add_until(kBegin, kBegin + 100, "vm-1");
  const fs::path file = directory_ / "vms" / ("samples-" + std::to_string(kBegin));
  const auto whole = fs::file_size(file);
  ASSERT_TRUE(add(kBegin + 100, "vm-1", 3));
  for (auto size = fs::file_size(file) - 1; size >= whole; --size) {
    fs::resize_file(file, size);
    open(kBegin + 110);
    EXPECT_EQ(fs::file_size(file), whole);
    EXPECT_EQ(average("vm-1", kBegin, kBegin + 100), hour_of_day(kBegin));
  }
  ASSERT_TRUE(add(kBegin + 110, "vm-1", 4));
  EXPECT_EQ(average("vm-1", kBegin + 110, kBegin + 120), 4);
}

TEST_F(HistoryTest, AClockThatWasWrongCostsNothing) {
  add_until(kBegin, kBegin + 3 * 3'600, "vm-1");
  ASSERT_TRUE(add(kBegin + 365 * 86'400, "vm-1", 1));
  ASSERT_TRUE(add(kBegin - 365 * 86'400, "vm-1", 1));
  add_until(kBegin + 3 * 3'600, kBegin + 4 * 3'600, "vm-1");
  for (Seconds at = kBegin; at < kBegin + 4 * 3'600; at += 3'600) {
    EXPECT_EQ(average("vm-1", at, at + 3'600), hour_of_day(at));
  }
}

TEST_F(HistoryTest, WithoutRoomNothingIsKeptAndTheNextIs) {
  ASSERT_EQ(::signal(SIGXFSZ, SIG_IGN), SIG_DFL);
  add_until(kBegin, kBegin + 100, "vm-1");
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const fs::path file = directory_ / "vms" / ("samples-" + std::to_string(kBegin));
  const rlimit full{.rlim_cur = fs::file_size(file) + 5, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
  const auto added = add(kBegin + 100, "vm-2", 1);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, SIG_DFL);
  EXPECT_FALSE(added);
  ASSERT_TRUE(add(kBegin + 110, "vm-2", 2));
  open(kBegin + 120);
  EXPECT_TRUE(std::isnan(average("vm-2", kBegin + 100, kBegin + 110)));
  EXPECT_EQ(average("vm-2", kBegin + 110, kBegin + 120), 2);
}

TEST_F(HistoryTest, WhatIsDamagedIsLeftAndTold) {
  add_until(kBegin, kBegin + 2 * 3'600, "vm-1");
  std::ofstream(directory_ / "vms" / ("summaries-" + std::to_string(kBegin))) << "what is this";
  std::ofstream(directory_ / "vms" / ("samples-" + std::to_string(kBegin + 3'600))) << "and this, a long line of words";
  std::ofstream(directory_ / "vms" / "samples-x") << "not ours";
  open(kBegin + 4 * 3'600);
  EXPECT_NE(history_->trouble(), "");
  EXPECT_TRUE(std::isnan(average("vm-1", kBegin + 3'600, kBegin + 7'200)));
  ASSERT_TRUE(add(kBegin + 4 * 3'600, "vm-1", 2));
  EXPECT_EQ(average("vm-1", kBegin + 4 * 3'600, kBegin + 4 * 3'600 + 10), 2);
}

TEST_F(HistoryTest, AnotherVersionWithMoreColumnsReadsWhatWasKept) {
  add_until(kBegin, kBegin + 4'000, "vm-1");
  auto wider = History::open(directory_ / "vms", kColumns + 1, kBegin + 4'010);
  ASSERT_TRUE(wider);
  history_.emplace(std::move(*wider));
  EXPECT_EQ(history_->trouble(), "");
  const std::vector<double> values = {1, 2, 3};
  const Sample sample{.id = "vm-1", .values = values};
  ASSERT_TRUE(history_->add(kBegin + 4'010, std::span(&sample, 1)));
  ASSERT_TRUE(history_->add(kBegin + 7'200, std::span(&sample, 1)));
  EXPECT_EQ(average("vm-1", kBegin, kBegin + 3'600), hour_of_day(kBegin));
  const auto series =
      history_->query({.id = "vm-1", .columns = {2}, .from = kBegin + 4'010, .to = kBegin + 7'210, .points_max = 0});
  ASSERT_TRUE(series);
  EXPECT_TRUE(std::isnan(series->columns[0].front().average));
  EXPECT_EQ(series->columns[0].back().average, 3);
}

TEST_F(HistoryTest, AskingForNoTimeOrTooMuchIsBounded) {
  EXPECT_FALSE(history_->query({.id = "vm-1", .columns = {0}, .from = 10, .to = 10}));
  EXPECT_LE(query("vm-1", 0, kBegin).columns.at(0).size(), 10'001U);
  EXPECT_EQ(history_->query({.id = "vm-1", .columns = {7}, .from = 0, .to = kBegin})->columns.size(), 1U);
}

}  // namespace
}  // namespace gantry::metrics
