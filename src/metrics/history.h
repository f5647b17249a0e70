// What was measured of many things of one kind: each ten seconds for an hour, in steps of five minutes for 30 days. It
// is in files of its own, so that it survives the daemon and takes no memory; what is too old goes by itself.
#pragma once

#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "metrics/sample_file.h"

namespace gantry::metrics {

inline constexpr Seconds kSampleStep = 10;
inline constexpr Seconds kSamplesKept = 3'600;
inline constexpr Seconds kSummariesKept = 30 * 86'400;

// Over one step. NaN: nothing was measured.
struct Point {
  double average = kNoValue;
  double most = kNoValue;
};

struct Query {
  std::string_view id;
  // Of each thing, by their places.
  std::vector<std::size_t> columns;
  Seconds from = 0;
  // Not included.
  Seconds to = 0;
  // At most so many; 0: as many as there are.
  std::size_t points_max = 0;
};

struct Series {
  // Of the first point. A multiple of the step.
  Seconds begin = 0;
  Seconds step = 0;
  // By the query's columns, all of the same length.
  std::vector<std::vector<Point>> columns;
};

// Used by one thread at a time; its calls block for the disk.
class History {
 public:
  // `directory` is made if it is not there. What was kept there with another number of columns is read as it is:
  // columns keep their places. Samples that are damaged are removed and told in trouble().
  static Result<History> open(std::string directory, std::size_t columns, Seconds now);

  // What was measured at that moment. Fails if it could not be kept: nothing of it is, then.
  Result<void> add(Seconds now, std::span<const Sample> samples);

  // Of what is not known, and for times without samples, points without a value. Each ten seconds if nothing else is
  // known of that time and that many points may be; otherwise in steps of five minutes or more.
  [[nodiscard]] Result<Series> query(const Query& query) const;

  // What could not be read or tidied last; empty: nothing.
  [[nodiscard]] const std::string& trouble() const { return trouble_; }

 private:
  History(std::string directory, std::size_t columns) : directory_(std::move(directory)), columns_(columns) {}
  [[nodiscard]] std::string samples_path(Seconds hour) const;
  [[nodiscard]] std::string summaries_path(Seconds hour) const;
  Result<SampleFile*> samples_of(Seconds hour);
  Result<void> find_files(Seconds now);
  // Summaries of all hours but this, of which samples go, too, but of the one before.
  void finish_hours(Seconds hour);
  void remove_old();

  std::string directory_;
  std::size_t columns_;
  // By their hours: this one and the one before.
  std::map<Seconds, SampleFile> samples_;
  // Hours that have a file of them, and of those the ones that more was added to since.
  std::set<Seconds> summaries_;
  std::set<Seconds> added_to_;
  std::string trouble_;
};

}  // namespace gantry::metrics
