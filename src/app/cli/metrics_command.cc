// What a virtual machine or a host used over a time.
#include <google/protobuf/util/time_util.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <iostream>

#include "app/cli/commands.h"
#include "runtime/clock.h"

namespace gantry::app {
namespace {

using google::protobuf::util::TimeUtil;

constexpr std::uint32_t kHoursMax = 30 * 24;
// Of each kind, where none are named: what a table has room for.
constexpr const char* kOfVm =
    "cpu_percent,cpu_wait_percent,memory_resident_bytes,disk_read_bytes_per_second,disk_written_bytes_per_second,"
    "network_received_bytes_per_second,network_sent_bytes_per_second";
constexpr const char* kOfHost =
    "cpu_percent,cpu_wait_percent,memory_used_bytes,disk_read_bytes_per_second,disk_written_bytes_per_second,"
    "network_received_bytes_per_second,network_sent_bytes_per_second";

struct Wanted {
  std::string name;
  std::string metrics;
  std::uint32_t hours = 1;
  std::uint32_t rows = 30;
  bool is_host = false;
  bool maxima = false;
};

// "-": nothing was measured.
std::string cell(const std::string& metric, double value) {
  if (std::isnan(value)) return "-";
  if (metric.find("_bytes") != std::string::npos) return human_bytes(static_cast<std::uint64_t>(std::max(value, 0.0)));
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.1f", value);
  return text.data();
}

void print_metrics(const v1::Metrics& metrics, bool maxima) {
  std::vector<std::string> header{"FROM"};
  for (const v1::Metric& metric : metrics.metrics()) header.push_back(metric.name());
  Table table(std::move(header));
  const int steps = metrics.metrics().empty() ? 0 : metrics.metrics(0).averages_size();
  for (int step = 0; step < steps; ++step) {
    const auto begin = metrics.begin().seconds() + static_cast<std::int64_t>(step) * metrics.step_seconds();
    std::vector<std::string> row{TimeUtil::ToString(TimeUtil::SecondsToTimestamp(begin))};
    for (const v1::Metric& metric : metrics.metrics()) {
      const auto& values = maxima ? metric.maxima() : metric.averages();
      row.push_back(step < values.size() ? cell(metric.name(), values[step]) : "-");
    }
    table.add(std::move(row));
  }
  std::cout << table.text();
}

v1::GetMetricsRequest request_for(const Wanted& wanted, bool for_table) {
  v1::GetMetricsRequest request;
  request.set_id(wanted.name);
  request.set_names(wanted.metrics);
  if (request.names().empty() && for_table) request.set_names(wanted.is_host ? kOfHost : kOfVm);
  constexpr std::int64_t kMilliseconds = 1'000;
  constexpr std::int64_t kHourSeconds = 3'600;
  const std::int64_t now = runtime::real_now().unix_ms / kMilliseconds;
  *request.mutable_to() = TimeUtil::SecondsToTimestamp(now);
  *request.mutable_from() = TimeUtil::SecondsToTimestamp(now - kHourSeconds * wanted.hours);
  request.set_points_max(wanted.rows);
  return request;
}

int show_metrics(Session& session, const Wanted& wanted) {
  auto client = session.api();
  if (!client) return report(client.error());
  const bool for_table = session.format() == Format::table;
  const auto metrics =
      (*client)->call<v1::Metrics>(wanted.is_host ? "GetHostMetrics" : "GetVmMetrics", request_for(wanted, for_table));
  if (!metrics) return report(metrics.error());
  if (for_table) {
    print_metrics(*metrics, wanted.maxima);
  } else {
    print_record(*metrics, session.format());
  }
  return 0;
}

}  // namespace

void add_metrics_command(const Commands& commands) {
  auto* command = commands.add(commands.app, "metrics", "Show what a virtual machine or a host used over a time",
                               "gantry metrics web\ngantry metrics --host alpha --hours 24\n"
                               "gantry metrics web --hours 720 --names cpu_percent -o json");
  auto wanted = std::make_shared<Wanted>();
  auto* name = command->add_option("name", wanted->name, "Name or id of a virtual machine")->type_name("VM");
  auto* host = command->add_option("--host", wanted->name, "Of that host instead")->type_name("HOST");
  name->excludes(host);
  command->add_option("--hours", wanted->hours, "The last so many hours, up to now")
      ->type_name("COUNT")
      ->check(within(1, kHoursMax))
      ->capture_default_str();
  command->add_option("--names", wanted->metrics, "These, separated by commas; with -o json all if none are named")
      ->type_name("NAMES");
  command->add_option("--rows", wanted->rows, "At most so many; each stands for as long a time as is needed")
      ->type_name("COUNT")
      ->check(within(1, 10'000))
      ->capture_default_str();
  command->add_flag("--maxima", wanted->maxima, "The largest of each time instead of the average");
  commands.run(command, [&session = commands.session, wanted, host] {
    wanted->is_host = host->count() != 0;
    if (wanted->name.empty()) {
      return report(Error{ErrorCode::invalid_argument, "it is not said of what", "neither a VM nor a host is named",
                          "gantry metrics VM, or: gantry metrics --host HOST"});
    }
    return show_metrics(session, *wanted);
  });
}

}  // namespace gantry::app
