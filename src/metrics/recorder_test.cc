#include "metrics/recorder.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>

namespace gantry::metrics {
namespace {

namespace fs = std::filesystem;
constexpr Seconds kBegin = 1'700'000'000 - 1'700'000'000 % 3'600;

// Its time goes by hand; work comes from other threads too.
class HandExecutor final : public port::Executor {
 public:
  void post(std::function<void()> work) override {
    const std::lock_guard lock(mutex_);
    queue_.emplace(now_ms_, std::move(work));
    came_.notify_all();
  }
  void post_after(Milliseconds delay_ms, std::function<void()> work) override {
    const std::lock_guard lock(mutex_);
    queue_.emplace(now_ms_ + delay_ms, std::move(work));
  }
  [[nodiscard]] Now now() const override {
    const std::lock_guard lock(mutex_);
    return {.monotonic_ms = now_ms_, .unix_ms = kBegin * 1'000 + now_ms_};
  }
  void run_for(Seconds seconds) {
    Milliseconds end_ms = 0;
    {
      const std::lock_guard lock(mutex_);
      end_ms = now_ms_ + seconds * 1'000;
    }
    while (run_one_until(end_ms)) {
    }
    const std::lock_guard lock(mutex_);
    now_ms_ = end_ms;
  }
  // Runs what comes, without letting time go by, until that holds.
  bool eventually(const std::function<bool()>& holds) {
    for (int i = 0; i < 600 && !holds(); ++i) {
      {
        std::unique_lock lock(mutex_);
        came_.wait_for(lock, std::chrono::milliseconds(100),
                       [this] { return !queue_.empty() && queue_.begin()->first <= now_ms_; });
      }
      while (run_one_until(now().monotonic_ms)) {
      }
    }
    return holds();
  }

 private:
  bool run_one_until(Milliseconds end_ms) {
    std::function<void()> work;
    {
      const std::lock_guard lock(mutex_);
      if (queue_.empty() || queue_.begin()->first > end_ms) return false;
      now_ms_ = std::max(now_ms_, queue_.begin()->first);
      work = std::move(queue_.begin()->second);
      queue_.erase(queue_.begin());
    }
    work();
    return true;
  }

  mutable std::mutex mutex_;
  std::condition_variable came_;
  std::multimap<Milliseconds, std::function<void()>> queue_;
  Milliseconds now_ms_ = 0;
};

class RecorderTest : public testing::Test {
 protected:
  RecorderTest() {
    std::string name = "/tmp/gantry-recorder-test-XXXXXX";
    directory_ = ::mkdtemp(name.data());
    begin();
  }
  ~RecorderTest() override {
    recorder_.reset();
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
  }
  void begin() {
    recorder_.reset();
    recorder_ = std::make_unique<Recorder>(executor_, directory_ / "metrics");
  }

  void take_vm(const std::string& id, double cpu_percent) {
    v1::Sample sample;
    sample.set_id(id);
    sample.mutable_vm()->set_cpu_percent(cpu_percent);
    recorder_->take(sample);
  }
  Result<Recorder::Told> query(Recorder::Wanted wanted) {
    if (wanted.to == 0) wanted.to = kBegin + executor_.now().monotonic_ms / 1'000 + 10;
    std::optional<Result<Recorder::Told>> told;
    recorder_->query(wanted, [&](Result<Recorder::Told> answer) { told = std::move(answer); });
    EXPECT_TRUE(executor_.eventually([&] { return told.has_value(); }));
    return told ? std::move(*told) : Result<Recorder::Told>(fail(ErrorCode::internal, "no answer"));
  }
  // Of each step from the beginning on; -1: none.
  std::vector<double> cpu_of(const std::string& id) {
    const auto told = query({.id = id, .is_host = false, .fields = {"cpu_percent"}, .from = kBegin, .to = 0});
    std::vector<double> values;
    if (!told) return values;
    for (const Point& point : told->fields.at(0).points)
      values.push_back(std::isnan(point.average) ? -1 : point.average);
    return values;
  }

  fs::path directory_;
  HandExecutor executor_;
  std::unique_ptr<Recorder> recorder_;
};

TEST_F(RecorderTest, WhatCameIsKeptEachStep) {
  for (const double percent : {5, 6, 7}) {
    take_vm("vm-1", percent);
    executor_.run_for(10);
  }
  EXPECT_EQ(cpu_of("vm-1"), (std::vector<double>{-1, 5, 6, 7}));
  EXPECT_EQ(cpu_of("vm-2"), (std::vector<double>{-1, -1, -1, -1}));
}

TEST_F(RecorderTest, OfTwoInOneStepTheSecondIsThatOfTheNext) {
  take_vm("vm-1", 5);
  take_vm("vm-1", 6);
  executor_.run_for(20);
  take_vm("vm-1", 7);
  executor_.run_for(20);
  EXPECT_EQ(cpu_of("vm-1"), (std::vector<double>{-1, 5, 6, 7, -1}));
}

TEST_F(RecorderTest, ManyInOneStepLeaveTheNewest) {
  for (int i = 0; i < 100; ++i) take_vm("vm-1", i);
  executor_.run_for(40);
  EXPECT_EQ(cpu_of("vm-1"), (std::vector<double>{-1, 98, 99, -1, -1}));
}

TEST_F(RecorderTest, TheNewestIsToldWhileItIsNew) {
  EXPECT_EQ(recorder_->newest("vm-1"), nullptr);
  take_vm("vm-1", 5);
  executor_.run_for(20);
  ASSERT_NE(recorder_->newest("vm-1"), nullptr);
  EXPECT_EQ(recorder_->newest("vm-1")->vm().cpu_percent(), 5);
  EXPECT_EQ(recorder_->newest().size(), 1U);
  executor_.run_for(11);
  EXPECT_EQ(recorder_->newest("vm-1"), nullptr);
  EXPECT_TRUE(recorder_->newest().empty());
}

TEST_F(RecorderTest, HostsAndVmsAreKeptApart) {
  v1::Sample sample;
  sample.set_id("host-1");
  sample.mutable_host()->set_cpu_percent(30);
  sample.mutable_host()->set_network_sent_bytes_per_second(1'000);
  recorder_->take(sample);
  take_vm("vm-1", 5);
  executor_.run_for(10);
  const auto told = query({.id = "host-1", .is_host = true, .fields = {}, .from = kBegin, .to = 0});
  ASSERT_TRUE(told) << told.error().to_text();
  EXPECT_EQ(told->step, 10);
  EXPECT_EQ(told->fields.size(), 14U);
  EXPECT_EQ(told->fields.front().name, "cpu_percent");
  EXPECT_EQ(told->fields.front().points.back().average, 30);
  EXPECT_EQ(told->fields.back().points.back().average, 1'000);
  EXPECT_TRUE(std::isnan(told->fields[4].points.back().average)) << "that was not measured";
}

TEST_F(RecorderTest, ARestartLosesNothing) {
  take_vm("vm-1", 5);
  executor_.run_for(10);
  begin();
  take_vm("vm-1", 6);
  executor_.run_for(10);
  EXPECT_EQ(cpu_of("vm-1"), (std::vector<double>{-1, 5, 6}));
}

TEST_F(RecorderTest, WhatIsNotMeasuredCannotBeAskedFor) {
  const auto told = query({.id = "vm-1", .is_host = false, .fields = {"colour"}, .from = kBegin, .to = 0});
  ASSERT_FALSE(told);
  EXPECT_EQ(told.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(told.error().summary.find("\"colour\""), std::string::npos);
  recorder_->take({});
  EXPECT_TRUE(recorder_->newest().empty());
}

}  // namespace
}  // namespace gantry::metrics
