// From what was counted to what is told: how much of each there was in the time between two looks.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "gantry/v1/metrics.pb.h"
#include "port/metrics.h"

namespace gantry::host {

class Metering {
 public:
  // The host first, under its id. What was not counted at the look before, or counted anew since, is left out; of
  // guests of which nothing is left to tell there is no sample. `now_ms`: monotonic.
  std::vector<v1::Sample> step(const std::string& host_id, const port::Counters& counters, Milliseconds now_ms);

 private:
  std::optional<Milliseconds> before_ms_;
  port::HostCounters host_before_;
  std::map<std::string, port::GuestCounters> guests_before_;
};

}  // namespace gantry::host
