#include "app/daemon/metrics_api.h"

#include <algorithm>
#include <sstream>
#include <utility>

#include "control/view.h"
#include "metrics/prometheus.h"

namespace gantry::app {
namespace {

constexpr std::uint32_t kPointsMax = 1'000;

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> words;
  std::istringstream stream(text);
  for (std::string word; std::getline(stream, word, ',');) words.push_back(word);
  return words;
}

metrics::Recorder::Wanted wanted_by(const v1::GetMetricsRequest& request, Now now) {
  metrics::Recorder::Wanted wanted;
  wanted.fields = split(request.names());
  wanted.to = request.has_to() ? request.to().seconds() : now.unix_ms / 1'000;
  wanted.from = request.has_from() ? request.from().seconds() : wanted.to - metrics::kSamplesKept;
  // Nothing is older, and the first step would begin before there are dates.
  wanted.from = std::max<metrics::Seconds>(wanted.from, 0);
  wanted.points_max = request.points_max() != 0 ? request.points_max() : kPointsMax;
  return wanted;
}

std::unique_ptr<v1::Metrics> to_metrics(const metrics::Recorder::Told& told) {
  auto metrics = std::make_unique<v1::Metrics>();
  metrics->mutable_begin()->set_seconds(told.begin);
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
  const bool own = rpc == "GetVmMetrics" || rpc == "GetHostMetrics" || rpc == "GetTop" || rpc == "GetPrometheus";
  if (!own) return manager_.call(rpc, request, options, std::move(done));
  const auto* metrics = dynamic_cast<const v1::GetMetricsRequest*>(&request);
  executor_.post([this, rpc, wanted = metrics == nullptr ? v1::GetMetricsRequest() : *metrics, done = std::move(done)] {
    if (!manager_.ready()) {
      return done(fail(ErrorCode::unavailable, "the records were not read yet", {}, "try again in a second"));
    }
    if (rpc == "GetVmMetrics") return answer_metrics<v1::Vm>(wanted, false, done);
    if (rpc == "GetHostMetrics") return answer_metrics<v1::Host>(wanted, true, done);
    if (rpc == "GetPrometheus") return answer_prometheus(done);
    done(std::make_unique<v1::Top>(top()));
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
  wanted.id = record->meta().id();
  wanted.is_host = is_host;
  recorder_.query(wanted, [done](Result<metrics::Recorder::Told> told) {
    if (!told) return done(fail(told.error()));
    done(to_metrics(*told));
  });
}

v1::Top MetricsApi::top() const {
  const control::View& view = manager_.view();
  v1::Top top;
  for (const v1::Sample* sample : recorder_.newest()) {
    const auto* host = view.find<v1::Host>(sample->id());
    const auto* vm = view.find<v1::Vm>(sample->id());
    if (host == nullptr && vm == nullptr) continue;
    v1::TopEntry& entry = host != nullptr ? *top.add_hosts() : *top.add_vms();
    entry.set_name(host != nullptr ? host->meta().name() : vm->meta().name());
    *entry.mutable_sample() = *sample;
    if (vm == nullptr) continue;
    const auto* where = view.find<v1::Host>(vm->placement().host_id());
    if (where != nullptr) entry.set_host(where->meta().name());
  }
  return top;
}

// Written on another thread: of many VMs it is long.
void MetricsApi::answer_prometheus(const Answer& done) {
  const control::View& view = manager_.view();
  auto scrape = std::make_shared<metrics::Scrape>();
  scrape->version = GANTRY_VERSION;
  scrape->top = top();
  for (const auto& [id, vm] : view.all<v1::Vm>().by_id) ++scrape->vms[v1::VmStatus::State_Name(vm.status().state())];
  for (const auto& [id, task] : view.all<v1::Task>().by_id) ++scrape->tasks[v1::Task::State_Name(task.state())];
  for (const auto& [id, host] : view.all<v1::Host>().by_id) {
    scrape->hosts[host.meta().name()] = host.status().state() == v1::HostStatus::CONNECTED;
  }
  for (const auto& [id, pool] : view.all<v1::Pool>().by_id) scrape->pools.push_back(pool);
  writer_.submit([scrape, &executor = executor_, done] {
    auto document = std::make_shared<v1::Document>();
    document->set_content(metrics::prometheus_text(*scrape));
    executor.post([document, done] { done(std::make_unique<v1::Document>(std::move(*document))); });
  });
}

}  // namespace gantry::app
