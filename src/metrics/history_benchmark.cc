// What keeping and reading histories takes: one moment of 20,000 virtual machines, an hour of one, a month of one. In
// /var/tmp, for /tmp may be memory; the month has fewer machines (0.4 GB), which makes no difference to reading one.
#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "metrics/history.h"
#include "metrics/summary_file.h"

namespace gantry::metrics {
namespace {

constexpr std::size_t kVms = 20'000;
constexpr std::size_t kVmsOfTheMonth = 1'000;
constexpr std::size_t kColumns = 12;
// The beginning of an hour.
constexpr Seconds kNow = 1'800'000'000 - 1'800'000'000 % kHour;

class Machines {
 public:
  explicit Machines(std::size_t count) : values_(kColumns, 12.5) {
    for (std::size_t i = 0; i < count; ++i) ids_.push_back("vm-" + std::to_string(100'000'000'000 + i));
    for (const std::string& id : ids_) samples_.push_back({.id = id, .values = values_});
  }
  [[nodiscard]] std::span<const Sample> samples() const { return samples_; }
  [[nodiscard]] const std::string& one() const { return ids_[ids_.size() / 2]; }

 private:
  std::vector<double> values_;
  std::vector<std::string> ids_;
  std::vector<Sample> samples_;
};

class Scratch {
 public:
  Scratch() {
    std::string name = "/var/tmp/gantry-history-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] History open(Seconds now) const {
    auto history = History::open(path_, kColumns, now);
    if (!history) {
      std::fprintf(stderr, "%s\n", history.error().to_text().c_str());
      std::abort();
    }
    return std::move(*history);
  }

 private:
  std::string path_;
};

void add(History& history, Seconds at, const Machines& machines) {
  if (!history.add(at, machines.samples())) std::abort();
}

void keep_a_moment_of_20000(benchmark::State& state) {
  const Scratch scratch;
  const Machines machines(kVms);
  History history = scratch.open(kNow);
  Seconds at = kNow;
  for ([[maybe_unused]] auto turn : state) {
    add(history, at, machines);
    at += kSampleStep;
  }
}
BENCHMARK(keep_a_moment_of_20000)->Iterations(100)->UseRealTime()->Unit(benchmark::kMillisecond);

void query(benchmark::State& state, const History& history, const Machines& machines, Seconds from, Seconds to) {
  Query query{.id = machines.one(), .columns = {}, .from = from, .to = to, .points_max = 1'000};
  for (std::size_t column = 0; column < kColumns; ++column) query.columns.push_back(column);
  for ([[maybe_unused]] auto turn : state) {
    auto series = history.query(query);
    if (!series || series->columns.size() != kColumns) std::abort();
    benchmark::DoNotOptimize(series);
  }
}

void an_hour_of_one_of_20000(benchmark::State& state) {
  const Scratch scratch;
  const Machines machines(kVms);
  History history = scratch.open(kNow);
  for (Seconds at = kNow; at < kNow + kHour; at += kSampleStep) add(history, at, machines);
  query(state, history, machines, kNow, kNow + kHour);
}
BENCHMARK(an_hour_of_one_of_20000)->UseRealTime()->Unit(benchmark::kMillisecond);

void a_month_of_one(benchmark::State& state) {
  const Scratch scratch;
  const Machines machines(kVmsOfTheMonth);
  const Seconds from = kNow - kSummariesKept;
  History history = scratch.open(from);
  for (Seconds at = from; at <= kNow; at += kSummaryStep) add(history, at, machines);
  query(state, history, machines, from, kNow);
}
BENCHMARK(a_month_of_one)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace gantry::metrics
