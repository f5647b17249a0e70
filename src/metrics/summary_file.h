// What an hour's samples were, in steps of five minutes: all of one thing is together, so that a month of it is soon
// read.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "base/result.h"
#include "metrics/sample_file.h"

namespace gantry::metrics {

inline constexpr Seconds kHour = 3'600;
inline constexpr Seconds kSummaryStep = 300;
inline constexpr std::size_t kSummariesAnHour = kHour / kSummaryStep;

// Of one column over one step.
struct Summary {
  CompactValue average = 0;
  CompactValue most = 0;
};

// Of the hour that begins then. A crash leaves the whole file or none.
Result<void> write_summaries(const SampleFile& samples, Seconds hour, const std::string& path);

// The steps of one thing in the order of time, each with as many values as there were columns. Nothing of it: nothing
// is taken. Not such a file: corrupt.
Result<void> read_summaries(const std::string& path, Seconds hour, Key key,
                            const std::function<void(Seconds, std::span<const Summary>)>& take);

}  // namespace gantry::metrics
