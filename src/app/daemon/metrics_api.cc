#include "app/daemon/metrics_api.h"

#include <sstream>
#include <utility>

#include "control/view.h"
#include "gantry/v1/routes.pb.h"

namespace gantry::app {
namespace {

constexpr std::uint32_t kPointsMax = 1'000;
// Later than any date that means something; seconds are counted in less than 64 bits.
constexpr std::uint64_t kLatest = 1ULL << 40U;

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> words;
  std::istringstream stream(text);
  for (std::string word; std::getline(stream, word, ',');) words.push_back(word);
  return words;
}

Result<metrics::Recorder::Wanted> wanted_by(const v1::GetMetricsRequest& request, Now now) {
  if (request.from_unix() > kLatest || request.to_unix() > kLatest) {
    return fail(ErrorCode::invalid_argument, "the time that was asked for is no time",
                "times are seconds since 1970-01-01 UTC");
  }
  metrics::Recorder::Wanted wanted;
  wanted.fields = split(request.names());
  wanted.to = request.to_unix() != 0 ? static_cast<metrics::Seconds>(request.to_unix()) : now.unix_ms / 1'000;
  wanted.from =
      request.from_unix() != 0 ? static_cast<metrics::Seconds>(request.from_unix()) : wanted.to - metrics::kSamplesKept;
  wanted.points_max = request.points_max() != 0 ? request.points_max() : kPointsMax;
  return wanted;
}

std::unique_ptr<v1::Metrics> to_metrics(const metrics::Recorder::Told& told) {
  auto metrics = std::make_unique<v1::Metrics>();
  metrics->set_begin_unix(static_cast<std::uint64_t>(told.begin));
  metrics->set_step_seconds(static_cast<std::uint32_t>(told.step));
  for (const auto& field : told.fields) {
    v1::Metric& metric = *metrics->add_metrics();
    metric.set_name(field.name);
    for (const metrics::Point& point : field.points) {
      metric.add_averages(point.average);
      metric.add_maxima(point.most);
    }
  }
  return metrics;
}

}  // namespace

void MetricsApi::call(const std::string& rpc, const google::protobuf::Message& request,
                      const port::CallOptions& options, Answer done) {
  const bool of_vm = rpc == "GetVmMetrics";
  if (!of_vm && rpc != "GetHostMetrics" && rpc != "GetTop")
    return manager_.call(rpc, request, options, std::move(done));
  const auto* metrics = dynamic_cast<const v1::GetMetricsRequest*>(&request);
  executor_.post([this, of_vm, wanted = metrics == nullptr ? v1::GetMetricsRequest() : *metrics,
                  is_top = metrics == nullptr, done = std::move(done)] {
    if (!manager_.ready()) {
      return done(fail(ErrorCode::unavailable, "the records were not read yet", {}, "try again in a second"));
    }
    if (is_top) return answer_top(done);
    if (of_vm) return answer_metrics<v1::Vm>(wanted, false, done);
    answer_metrics<v1::Host>(wanted, true, done);
  });
}

template <class Record>
void MetricsApi::answer_metrics(const v1::GetMetricsRequest& request, bool is_host, const Answer& done) {
  const Record* record = manager_.view().resolve<Record>(request.id());
  const std::string kind = is_host ? "host" : "VM";
  if (record == nullptr) {
    return done(fail(ErrorCode::not_found, "there is no " + kind + " \"" + request.id() + "\"",
                     "no name and no id of one is like that",
                     is_host ? "see \"gantry host list\"" : "see \"gantry list\""));
  }
  auto wanted = wanted_by(request, executor_.now());
  if (!wanted) return done(fail(wanted.error()));
  wanted->id = record->meta().id();
  wanted->is_host = is_host;
  recorder_.query(*wanted, [done](Result<metrics::Recorder::Told> told) {
    if (!told) return done(fail(told.error()));
    done(to_metrics(*told));
  });
}

void MetricsApi::answer_top(const Answer& done) const {
  const control::View& view = manager_.view();
  auto top = std::make_unique<v1::Top>();
  for (const v1::Sample* sample : recorder_.newest()) {
    const auto* host = view.find<v1::Host>(sample->id());
    const auto* vm = view.find<v1::Vm>(sample->id());
    if (host == nullptr && vm == nullptr) continue;
    v1::TopEntry& entry = host != nullptr ? *top->add_hosts() : *top->add_vms();
    entry.set_id(sample->id());
    entry.set_name(host != nullptr ? host->meta().name() : vm->meta().name());
    *entry.mutable_sample() = *sample;
    if (vm == nullptr) continue;
    const auto* where = view.find<v1::Host>(vm->placement().host_id());
    if (where != nullptr) entry.set_host(where->meta().name());
  }
  done(std::move(top));
}

}  // namespace gantry::app
