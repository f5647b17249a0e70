#include "metrics/summary_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <numeric>
#include <optional>

#include "metrics/bytes.h"
#include "runtime/files.h"

namespace gantry::metrics {
namespace {

constexpr std::array<char, 8> kMagic = {'G', 'A', 'N', 'S', 'U', 'M', 'M', '1'};

// Behind it the keys, sorted; then, in their order, of each thing its steps.
struct Head {
  std::array<char, 8> magic;
  std::uint64_t columns;
  std::uint64_t things;
};

// What came in of one column in one step.
struct Gathered {
  float sum = 0;
  float most = 0;
  std::uint32_t count = 0;

  void add(CompactValue compact) {
    const double value = value_of(compact);
    if (std::isnan(value)) return;
    sum += static_cast<float>(value);
    most = std::max(most, static_cast<float>(value));
    ++count;
  }
  [[nodiscard]] Summary summary() const {
    if (count == 0) return {};
    return {.average = compact(static_cast<double>(sum) / count), .most = compact(most)};
  }
};

// All things of an hour; the steps come one after another.
class Hour {
 public:
  Hour(const SampleFile& samples, Seconds hour)
      : hour_(hour),
        columns_(samples.columns()),
        gathered_(samples.keys().size() * columns_),
        summaries_(gathered_.size() * kSummariesAnHour) {}

  // One of a step that is over, as when the clock was set back, is left out.
  void take(const SampleFile::Moment& moment) {
    const Seconds into = moment.at - hour_;
    if (into < 0 || into >= kHour) return;
    const auto step = static_cast<std::size_t>(into / kSummaryStep);
    if (step < step_) return;
    if (step > step_) finish_step();
    step_ = step;
    for (std::size_t i = 0; i < moment.things * columns_; ++i) gathered_[i].add(moment.values[i]);
  }
  void finish_step() {
    for (std::size_t i = 0; i < gathered_.size(); ++i) {
      const std::size_t thing = i / columns_;
      summaries_[(thing * kSummariesAnHour + step_) * columns_ + i % columns_] = gathered_[i].summary();
      gathered_[i] = {};
    }
  }
  [[nodiscard]] std::span<const Summary> of(std::size_t thing) const {
    const std::size_t each = kSummariesAnHour * columns_;
    return std::span(summaries_).subspan(thing * each, each);
  }

 private:
  Seconds hour_;
  std::size_t columns_;
  std::size_t step_ = 0;
  std::vector<Gathered> gathered_;
  std::vector<Summary> summaries_;
};

// Throughout one file.
class Reader {
 public:
  static Result<Reader> open(const std::string& path) {
    UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file.valid()) return fail(runtime::errno_error("cannot open " + path, errno));
    return Reader(std::move(file), path);
  }
  Result<void> read(std::uint64_t offset, void* to, std::size_t bytes) const {
    const ssize_t count = ::pread(file_.get(), to, bytes, static_cast<off_t>(offset));
    if (count < 0) return fail(runtime::errno_error("cannot read " + path_, errno));
    if (static_cast<std::size_t>(count) != bytes)
      return fail(ErrorCode::corrupt, "cannot use " + path_, "it is cut short");
    return {};
  }
  // Its place among so many sorted ones; nothing: it is not there.
  [[nodiscard]] Result<std::optional<std::uint64_t>> find(Key key, std::uint64_t things) const {
    std::uint64_t first = 0;
    while (things > 0) {
      const std::uint64_t half = things / 2;
      Key found = 0;
      if (auto done = read(sizeof(Head) + (first + half) * sizeof(Key), &found, sizeof found); !done) {
        return fail(done.error());
      }
      if (found == key) return std::optional(first + half);
      if (found < key) first += half + 1;
      things = found < key ? things - half - 1 : half;
    }
    return std::nullopt;
  }

 private:
  Reader(UniqueFd file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}
  UniqueFd file_;
  std::string path_;
};

}  // namespace

Result<void> write_summaries(const SampleFile& samples, Seconds hour, const std::string& path) {
  Hour gathered(samples, hour);
  if (auto read = samples.each_moment([&](const auto& moment) { gathered.take(moment); }); !read) return read;
  gathered.finish_step();
  const std::vector<Key>& keys = samples.keys();
  std::vector<std::size_t> order(keys.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t thing) { return keys[thing]; });
  const Head head{.magic = kMagic, .columns = samples.columns(), .things = keys.size()};
  std::string bytes;
  add_bytes(bytes, &head, 1);
  for (const std::size_t thing : order) add_bytes(bytes, &keys[thing], 1);
  for (const std::size_t thing : order) add_bytes(bytes, gathered.of(thing).data(), gathered.of(thing).size());
  return runtime::write_file_durably(path, bytes);
}

Result<void> read_summaries(const std::string& path, Seconds hour, Key key,
                            const std::function<void(Seconds, std::span<const Summary>)>& take) {
  const auto file = Reader::open(path);
  if (!file) return fail(file.error());
  Head head{};
  if (auto read = file->read(0, &head, sizeof head); !read) return read;
  if (head.magic != kMagic || head.columns == 0 || head.columns > kColumnsMax) {
    return fail(ErrorCode::corrupt, "cannot use " + path, "it is no file of summaries");
  }
  const auto columns = static_cast<std::size_t>(head.columns);
  const auto place = file->find(key, head.things);
  if (!place) return fail(place.error());
  if (!*place) return {};
  std::vector<Summary> summaries(kSummariesAnHour * columns);
  const std::size_t each = summaries.size() * sizeof(Summary);
  const std::uint64_t begin = sizeof head + head.things * sizeof(Key);
  if (auto read = file->read(begin + **place * each, summaries.data(), each); !read) return read;
  for (std::size_t step = 0; step < kSummariesAnHour; ++step) {
    take(hour + static_cast<Seconds>(step) * kSummaryStep, std::span(summaries).subspan(step * columns, columns));
  }
  return {};
}

}  // namespace gantry::metrics
