#include "metrics/prometheus.h"

#include <google/protobuf/descriptor.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <utility>

namespace gantry::metrics {
namespace {

// In quotes: a backslash, a quote and an end of line need one before them.
void add_quoted(std::string& text, std::string_view value) {
  text += '"';
  for (const char letter : value) {
    if (letter == '\\' || letter == '"') text += '\\';
    text += letter == '\n' ? std::string_view("\\n") : std::string_view(&letter, 1);
  }
  text += '"';
}

std::string labels(std::initializer_list<std::pair<std::string_view, std::string_view>> all) {
  std::string text;
  for (const auto& [name, value] : all) {
    text += text.empty() ? '{' : ',';
    text += name;
    text += '=';
    add_quoted(text, value);
  }
  return text + '}';
}

class Writer {
 public:
  // The lines of one metric follow one another.
  void begin(std::string name, std::string_view help) {
    name_ = std::move(name);
    text_ += "# HELP " + name_ + ' ';
    text_ += help;
    text_ += "\n# TYPE " + name_ + " gauge\n";
  }
  void add(std::string_view labels, double value) {
    std::array<char, 32> digits{};
    const auto written = std::to_chars(digits.data(), digits.data() + digits.size(), value);
    text_ += name_;
    text_ += labels;
    text_ += ' ';
    text_.append(digits.data(), written.ptr);
    text_ += '\n';
  }
  std::string take() { return std::move(text_); }

 private:
  std::string name_;
  std::string text_;
};

const google::protobuf::Message& content(const v1::Sample& sample) {
  if (sample.has_host()) return sample.host();
  return sample.vm();
}

// Each field of their samples is a metric of its name.
void add_samples(Writer& writer, const google::protobuf::Message& type, const std::string& prefix,
                 const std::string& help, const std::vector<std::pair<std::string, const v1::Sample*>>& samples) {
  const auto& fields = *type.GetDescriptor();
  for (int i = 0; i < fields.field_count(); ++i) {
    const auto* field = fields.field(i);
    writer.begin(prefix + field->name(), help + " (" + field->name() + " of " + fields.name() + ")");
    for (const auto& [names, sample] : samples) {
      const google::protobuf::Message& values = content(*sample);
      const auto& reflection = *values.GetReflection();
      if (reflection.HasField(values, field)) writer.add(names, reflection.GetDouble(values, field));
    }
  }
}

void add_top(Writer& writer, const v1::Top& top) {
  std::vector<std::pair<std::string, const v1::Sample*>> hosts;
  for (const v1::TopEntry& entry : top.hosts()) {
    if (entry.sample().has_host()) hosts.emplace_back(labels({{"host", entry.name()}}), &entry.sample());
  }
  add_samples(writer, v1::HostSample::default_instance(), "gantry_host_", "Over the last ten seconds, of a host",
              hosts);
  std::vector<std::pair<std::string, const v1::Sample*>> vms;
  for (const v1::TopEntry& entry : top.vms()) {
    if (!entry.sample().has_vm()) continue;
    vms.emplace_back(labels({{"vm", entry.name()}, {"host", entry.host()}}), &entry.sample());
  }
  add_samples(writer, v1::VmSample::default_instance(), "gantry_vm_", "Over the last ten seconds, of a virtual machine",
              vms);
}

void add_counts(Writer& writer, const std::string& name, std::string_view help,
                const std::map<std::string, std::size_t>& counts) {
  writer.begin(name, help);
  for (const auto& [state, count] : counts) writer.add(labels({{"state", state}}), static_cast<double>(count));
}

void add_hosts(Writer& writer, const std::map<std::string, bool>& hosts) {
  writer.begin("gantry_host_connected", "Whether the manager hears of the host");
  for (const auto& [name, connected] : hosts) writer.add(labels({{"host", name}}), connected ? 1 : 0);
}

void add_pools(Writer& writer, const std::vector<v1::Pool>& pools) {
  using Field = std::uint64_t (v1::PoolStatus::*)() const;
  const std::array<std::pair<const char*, Field>, 4> fields{{
      {"gantry_pool_capacity_bytes", &v1::PoolStatus::capacity_bytes},
      {"gantry_pool_available_bytes", &v1::PoolStatus::available_bytes},
      {"gantry_pool_allocation_bytes", &v1::PoolStatus::allocation_bytes},
      {"gantry_pool_promised_bytes", &v1::PoolStatus::promised_bytes},
  }};
  for (const auto& [name, field] : fields) {
    writer.begin(name, "Of a storage pool, as its status says it");
    for (const v1::Pool& pool : pools) {
      if (pool.status().state() != v1::PoolStatus::READY) continue;
      writer.add(labels({{"pool", pool.meta().name()}}), static_cast<double>((pool.status().*field)()));
    }
  }
}

}  // namespace

std::string prometheus_text(const Scrape& scrape) {
  Writer writer;
  writer.begin("gantry_build_info", "The manager's version");
  writer.add(labels({{"version", scrape.version}}), 1);
  add_counts(writer, "gantry_vms", "Virtual machines, by their state", scrape.vms);
  add_counts(writer, "gantry_tasks", "Tasks that are kept, by their state", scrape.tasks);
  add_hosts(writer, scrape.hosts);
  add_pools(writer, scrape.pools);
  add_top(writer, scrape.top);
  return writer.take();
}

}  // namespace gantry::metrics
