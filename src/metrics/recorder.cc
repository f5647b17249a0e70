#include "metrics/recorder.h"

#include <google/protobuf/descriptor.h>

#include <future>
#include <optional>
#include <utility>

#include "metrics/sample_columns.h"
#include "runtime/report.h"

namespace gantry::metrics {
namespace {

// The histories of each kind have their directory.
constexpr std::size_t kWaitingMax = 2;
constexpr const char* kVms = "/vms";
constexpr const char* kHosts = "/hosts";

const google::protobuf::Message& type_of(bool is_host) {
  if (is_host) return v1::HostSample::default_instance();
  return v1::VmSample::default_instance();
}

const google::protobuf::Message& content(const v1::Sample& sample) {
  if (sample.has_host()) return sample.host();
  return sample.vm();
}

struct Kept {
  std::string id;
  std::vector<double> values;
};

// The columns that are asked for, and their names.
Result<std::vector<std::pair<std::string, std::size_t>>> columns_for(const Recorder::Wanted& wanted) {
  const google::protobuf::Message& type = type_of(wanted.is_host);
  std::vector<std::pair<std::string, std::size_t>> columns;
  for (const std::string& name : wanted.fields) {
    const auto column = column_named(type, name);
    if (!column) {
      return fail(ErrorCode::invalid_argument,
                  "there is no measurement \"" + name + "\" of a " + (wanted.is_host ? "host" : "VM"), {},
                  "see the fields of " + type.GetDescriptor()->name() + " in the API's description");
    }
    columns.emplace_back(name, *column);
  }
  if (!columns.empty()) return columns;
  const auto& fields = *type.GetDescriptor();
  for (int i = 0; i < fields.field_count(); ++i) {
    columns.emplace_back(fields.field(i)->name(), *column_named(type, fields.field(i)->name()));
  }
  return columns;
}

}  // namespace

// On the worker's thread alone.
class Recorder::Files {
 public:
  explicit Files(std::string directory) : directory_(std::move(directory)) {}

  void add(bool is_host, Seconds now, const std::vector<Kept>& all) {
    std::vector<Sample> samples;
    samples.reserve(all.size());
    for (const Kept& one : all) samples.push_back({.id = one.id, .values = one.values});
    const auto history = open(is_host, now);
    const auto added = history ? (*history)->add(now, samples) : Result<void>(fail(history.error()));
    report(added ? (*history)->trouble() : added.error().to_text());
  }

  Result<Told> query(const Wanted& wanted, Seconds now) {
    const auto columns = columns_for(wanted);
    if (!columns) return fail(columns.error());
    const auto history = open(wanted.is_host, now);
    if (!history) return fail(history.error());
    Query query{.id = wanted.id, .columns = {}, .from = wanted.from, .to = wanted.to, .points_max = wanted.points_max};
    for (const auto& [name, column] : *columns) query.columns.push_back(column);
    auto series = (*history)->query(query);
    if (!series) return fail(series.error());
    Told told{.begin = series->begin, .step = series->step, .fields = {}};
    for (std::size_t i = 0; i < columns->size(); ++i) {
      told.fields.push_back({.name = (*columns)[i].first, .points = std::move(series->columns[i])});
    }
    return told;
  }

 private:
  Result<History*> open(bool is_host, Seconds now) {
    std::optional<History>& history = is_host ? hosts_ : vms_;
    if (!history) {
      auto opened = History::open(directory_ + (is_host ? kHosts : kVms), columns_of(type_of(is_host)), now);
      if (!opened) return fail(opened.error());
      history.emplace(std::move(*opened));
    }
    return &*history;
  }

  // Once, as long as it is the same.
  void report(const std::string& trouble) {
    if (!trouble.empty() && trouble != told_) runtime::report_problem("what was measured is not kept: " + trouble);
    told_ = trouble;
  }

  std::string directory_;
  std::optional<History> vms_;
  std::optional<History> hosts_;
  std::string told_;
};

Recorder::Recorder(port::Executor& executor, std::string directory)
    : executor_(executor),
      files_(std::make_shared<Files>(std::move(directory))),
      self_(std::make_shared<Recorder*>(this)) {
  every_step();
}

// What is on its way to a file comes there.
Recorder::~Recorder() {
  std::promise<void> written;
  worker_.submit([&] { written.set_value(); });
  written.get_future().wait();
}

void Recorder::every_step() {
  keep();
  executor_.post_after(kSampleStep * 1'000, [weak = std::weak_ptr(self_)] {
    if (const auto self = weak.lock()) (*self)->every_step();
  });
}

void Recorder::take(const v1::Sample& sample) {
  if (sample.of_case() == v1::Sample::OF_NOT_SET) return;
  Newest& newest = newest_[sample.id()];
  newest.waiting.push_back(columns_in(content(sample)));
  if (newest.waiting.size() > kWaitingMax) newest.waiting.pop_front();
  newest.sample = sample;
  newest.came_ms = executor_.now().monotonic_ms;
}

void Recorder::keep() {
  const Now now = executor_.now();
  std::erase_if(newest_, [&](const auto& entry) { return now.monotonic_ms - entry.second.came_ms > kNewestForMs; });
  for (const bool is_host : {false, true}) {
    std::vector<Kept> all;
    for (auto& [id, newest] : newest_) {
      if (newest.sample.has_host() != is_host || newest.waiting.empty()) continue;
      all.push_back({.id = id, .values = std::move(newest.waiting.front())});
      newest.waiting.pop_front();
    }
    if (all.empty()) continue;
    worker_.submit([files = files_, is_host, seconds = now.unix_ms / 1'000, all = std::move(all)] {
      files->add(is_host, seconds, all);
    });
  }
}

const v1::Sample* Recorder::newest(const std::string& id) const {
  const auto found = newest_.find(id);
  const bool is_new = found != newest_.end() && executor_.now().monotonic_ms - found->second.came_ms <= kNewestForMs;
  return is_new ? &found->second.sample : nullptr;
}

std::vector<const v1::Sample*> Recorder::newest() const {
  const Milliseconds now_ms = executor_.now().monotonic_ms;
  std::vector<const v1::Sample*> all;
  for (const auto& [id, newest] : newest_) {
    if (now_ms - newest.came_ms <= kNewestForMs) all.push_back(&newest.sample);
  }
  return all;
}

void Recorder::query(const Wanted& wanted, std::function<void(Result<Told>)> done) {
  const Seconds now = executor_.now().unix_ms / 1'000;
  worker_.submit([files = files_, wanted, now, &executor = executor_, weak = std::weak_ptr(self_),
                  done = std::move(done)]() mutable {
    auto told = files->query(wanted, now);
    executor.post([weak = std::move(weak), told = std::move(told), done = std::move(done)]() mutable {
      if (!weak.expired()) done(std::move(told));
    });
  });
}

}  // namespace gantry::metrics
