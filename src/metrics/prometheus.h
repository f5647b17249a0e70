// Prometheus' text format, version 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "gantry/v1/metrics.pb.h"
#include "gantry/v1/storage.pb.h"

namespace gantry::metrics {

// What is now.
struct Scrape {
  std::string version;
  v1::Top top;
  // Of both: how many there are of each state, by its name in the API.
  std::map<std::string, std::size_t> vms;
  std::map<std::string, std::size_t> tasks;
  // By name: whether the manager hears of it.
  std::map<std::string, bool> hosts;
  std::vector<v1::Pool> pools;
};

// A measurement that is not there has no line: it is not 0.
std::string prometheus_text(const Scrape& scrape);

}  // namespace gantry::metrics
