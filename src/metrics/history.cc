#include "metrics/history.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <system_error>

#include "base/fnv.h"
#include "metrics/summary_file.h"
#include "runtime/files.h"

namespace gantry::metrics {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSamples = "samples-";
constexpr std::string_view kSummaries = "summaries-";
constexpr std::size_t kSummaryFilesMax = kSummariesKept / kHour + 1;
// Whoever asks for more gets longer steps.
constexpr std::size_t kPointsMax = 10'000;

Seconds floor_to(Seconds at, Seconds step) { return at - ((at % step) + step) % step; }
Seconds hour_of(Seconds at) { return floor_to(at, kHour); }

// "samples-1700000000" after that prefix.
std::optional<Seconds> hour_in(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  Seconds hour = 0;
  const auto read = std::from_chars(name.data(), name.data() + name.size(), hour);
  const bool whole = read.ec == std::errc() && read.ptr == name.data() + name.size();
  return whole && hour == hour_of(hour) ? std::optional(hour) : std::nullopt;
}

// The smallest multiple of `unit` by which there are no more points than that.
Seconds step_for(const Query& query, Seconds unit) {
  const auto most = static_cast<Seconds>(query.points_max == 0 ? kPointsMax : std::min(query.points_max, kPointsMax));
  const Seconds each = (query.to - query.from + most - 1) / most;
  return std::max<Seconds>(1, (each + unit - 1) / unit) * unit;
}

// What is asked for, as it is found.
class Gathering {
 public:
  Gathering(const Query& query, Seconds step) : query_(query), begin_(floor_to(query.from, step)), step_(step) {
    const auto points = static_cast<std::size_t>((query.to - begin_ + step - 1) / step);
    sums_.assign(query.columns.size(), std::vector<Sum>(points));
  }

  [[nodiscard]] Seconds begin() const { return begin_; }
  void add(Seconds at, std::span<const CompactValue> values) {
    each(at, values, [](CompactValue value) { return Summary{.average = value, .most = value}; });
  }
  void add(Seconds at, std::span<const Summary> values) {
    each(at, values, [](const Summary& value) { return value; });
  }
  [[nodiscard]] Series series() const {
    Series series{.begin = begin_, .step = step_, .columns = {}};
    for (const std::vector<Sum>& sums : sums_) {
      std::vector<Point>& points = series.columns.emplace_back(sums.size());
      std::ranges::transform(sums, points.begin(), [](const Sum& sum) {
        return sum.count == 0 ? Point{} : Point{.average = sum.sum / static_cast<double>(sum.count), .most = sum.most};
      });
    }
    return series;
  }

 private:
  struct Sum {
    double sum = 0;
    double most = 0;
    std::size_t count = 0;
  };

  template <class Value, class Read>
  void each(Seconds at, std::span<const Value> values, Read read) {
    if (at < begin_ || at >= query_.to) return;
    const auto point = static_cast<std::size_t>((at - begin_) / step_);
    for (std::size_t i = 0; i < query_.columns.size(); ++i) {
      if (query_.columns[i] >= values.size()) continue;
      const Summary summary = read(values[query_.columns[i]]);
      const double average = value_of(summary.average);
      if (std::isnan(average)) continue;
      Sum& sum = sums_[i][point];
      sum.sum += average;
      sum.most = std::max(sum.most, value_of(summary.most));
      ++sum.count;
    }
  }

  const Query& query_;
  Seconds begin_;
  Seconds step_;
  std::vector<std::vector<Sum>> sums_;
};

}  // namespace

std::string History::samples_path(Seconds hour) const {
  return directory_ + "/" + std::string(kSamples) + std::to_string(hour);
}

std::string History::summaries_path(Seconds hour) const {
  return directory_ + "/" + std::string(kSummaries) + std::to_string(hour);
}

Result<History> History::open(std::string directory, std::size_t columns, Seconds now) {
  if (auto made = runtime::make_directories(directory, 0700); !made) return fail(made.error());
  History history(std::move(directory), columns);
  if (auto found = history.find_files(now); !found) return fail(found.error());
  return history;
}

Result<void> History::find_files(Seconds now) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory_, error)) {
    const std::string name = entry.path().filename().string();
    if (const auto hour = hour_in(name, kSummaries)) {
      summaries_.insert(*hour);
    } else if (const auto samples = hour_in(name, kSamples)) {
      // It tells of what cannot be used, and goes on without.
      if (samples_of(*samples)) added_to_.insert(*samples);
    }
  }
  if (error) return fail(runtime::errno_error("cannot read " + directory_, error.value()));
  finish_hours(hour_of(now));
  return {};
}

Result<SampleFile*> History::samples_of(Seconds hour) {
  const auto found = samples_.find(hour);
  if (found != samples_.end()) return &found->second;
  const std::string path = samples_path(hour);
  auto opened = SampleFile::open(path, columns_);
  if (!opened && opened.error().code == ErrorCode::corrupt) {
    trouble_ = opened.error().to_text();
    std::error_code ignored;
    fs::remove(path, ignored);
    opened = SampleFile::open(path, columns_);
  }
  if (!opened) return fail(opened.error());
  return &samples_.emplace(hour, std::move(*opened)).first->second;
}

Result<void> History::add(Seconds now, std::span<const Sample> samples) {
  const Seconds hour = hour_of(now);
  if (!samples_.contains(hour)) finish_hours(hour);
  const auto file = samples_of(hour);
  if (!file) return fail(file.error());
  if (auto added = (*file)->add(now, samples); !added) return added;
  added_to_.insert(hour);
  return {};
}

void History::finish_hours(Seconds hour) {
  for (auto at = samples_.begin(); at != samples_.end();) {
    const Seconds its_hour = at->first;
    if (its_hour == hour) {
      ++at;
      continue;
    }
    const bool is_due = !summaries_.contains(its_hour) || added_to_.contains(its_hour);
    if (auto written = is_due ? write_summaries(at->second, its_hour, summaries_path(its_hour)) : Result<void>();
        written) {
      summaries_.insert(its_hour);
      added_to_.erase(its_hour);
    } else {
      trouble_ = written.error().to_text();
    }
    // What could not be summed up is kept for one hour, as is the rest.
    if (its_hour == hour - kHour) {
      ++at;
      continue;
    }
    std::error_code ignored;
    fs::remove(samples_path(its_hour), ignored);
    added_to_.erase(its_hour);
    at = samples_.erase(at);
  }
  remove_old();
}

// By their number, not by their age: a clock that is wrong for a while costs nothing.
void History::remove_old() {
  while (summaries_.size() > kSummaryFilesMax) {
    std::error_code ignored;
    fs::remove(summaries_path(*summaries_.begin()), ignored);
    summaries_.erase(summaries_.begin());
  }
}

Result<Series> History::query(const Query& query) const {
  if (query.from >= query.to) {
    return fail(ErrorCode::invalid_argument, "there is no time between the beginning and the end that were asked for");
  }
  // So they do if nothing is known of the time before them.
  const auto earlier = summaries_.lower_bound(hour_of(query.from));
  const bool is_known_before = earlier != summaries_.end() && !samples_.empty() && *earlier < samples_.begin()->first;
  const bool has_samples = !samples_.empty() && !is_known_before;
  Gathering gathering(query, step_for(query, has_samples ? kSampleStep : kSummaryStep));
  const Key key = fnv1a(query.id);
  const auto add = [&](Seconds at, const auto& values) { gathering.add(at, values); };
  for (const auto& [hour, file] : samples_) {
    const bool is_told = !has_samples && summaries_.contains(hour) && !added_to_.contains(hour);
    if (is_told || hour >= query.to || hour + kHour <= gathering.begin()) continue;
    if (auto read = file.each_of(key, add); !read) return fail(read.error());
  }
  if (has_samples) return gathering.series();
  for (auto hour = summaries_.lower_bound(hour_of(gathering.begin())); hour != summaries_.end(); ++hour) {
    if (*hour >= query.to) break;
    if (samples_.contains(*hour) && added_to_.contains(*hour)) continue;
    const auto read = read_summaries(summaries_path(*hour), *hour, key, add);
    // Of a file that is damaged nothing is known, as of a time when nobody measured.
    if (!read && read.error().code != ErrorCode::corrupt) return fail(read.error());
  }
  return gathering.series();
}

}  // namespace gantry::metrics
