#include "host/metering.h"

#include <algorithm>
#include <utility>

namespace gantry::host {
namespace {

// Two looks that follow closer than that tell more of chance than of load.
constexpr Milliseconds kLeastMs = 500;

// How much more there is. Nothing: it was counted anew.
template <class Number>
std::optional<double> growth(Number before, Number after) {
  if (after < before) return std::nullopt;
  return static_cast<double>(after - before);
}

template <class Number>
std::optional<double> growth(const std::optional<Number>& before, const std::optional<Number>& after) {
  if (!before || !after) return std::nullopt;
  return growth(*before, *after);
}

// Milliseconds of each; of none there is nothing to tell.
std::optional<double> latency(std::optional<double> seconds, std::optional<double> count) {
  constexpr double kMilliseconds = 1'000;
  if (!seconds || !count || *count <= 0) return std::nullopt;
  return *seconds * kMilliseconds / *count;
}

std::optional<double> times(std::optional<double> value, double factor) {
  if (!value) return std::nullopt;
  return *value * factor;
}

// Calls the setter with what there is.
template <class Sample>
void set(Sample& sample, void (Sample::*setter)(double), std::optional<double> value) {
  if (value) (sample.*setter)(*value);
}

std::optional<double> number(const std::optional<std::uint64_t>& value) {
  if (!value) return std::nullopt;
  return static_cast<double>(*value);
}

template <class Sample>
void set_disk(Sample& sample, const std::optional<port::DiskCounters>& before,
              const std::optional<port::DiskCounters>& after, double each_second) {
  if (!before || !after) return;
  const auto reads = growth(before->reads, after->reads);
  const auto writes = growth(before->writes, after->writes);
  set(sample, &Sample::set_disk_read_bytes_per_second,
      times(growth(before->read_bytes, after->read_bytes), each_second));
  set(sample, &Sample::set_disk_written_bytes_per_second,
      times(growth(before->written_bytes, after->written_bytes), each_second));
  set(sample, &Sample::set_disk_reads_per_second, times(reads, each_second));
  set(sample, &Sample::set_disk_writes_per_second, times(writes, each_second));
  set(sample, &Sample::set_disk_read_milliseconds, latency(growth(before->read_seconds, after->read_seconds), reads));
  set(sample, &Sample::set_disk_write_milliseconds,
      latency(growth(before->write_seconds, after->write_seconds), writes));
}

template <class Sample>
void set_network(Sample& sample, const std::optional<port::NetworkCounters>& before,
                 const std::optional<port::NetworkCounters>& after, double each_second) {
  if (!before || !after) return;
  set(sample, &Sample::set_network_received_bytes_per_second,
      times(growth(before->received_bytes, after->received_bytes), each_second));
  set(sample, &Sample::set_network_sent_bytes_per_second,
      times(growth(before->sent_bytes, after->sent_bytes), each_second));
}

// `each_second`: 1 by the seconds between the two; 0: there was none before.
v1::VmSample guest_sample(const port::GuestCounters& before, const port::GuestCounters& after, double each_second) {
  constexpr double kPercent = 100;
  v1::VmSample sample;
  set(sample, &v1::VmSample::set_memory_used_bytes, number(after.memory_used_bytes));
  set(sample, &v1::VmSample::set_memory_resident_bytes, number(after.memory_resident_bytes));
  if (each_second == 0 || before.process != after.process) return sample;
  set(sample, &v1::VmSample::set_cpu_percent,
      times(growth(before.cpu_seconds, after.cpu_seconds), each_second * kPercent));
  set(sample, &v1::VmSample::set_cpu_wait_percent,
      times(growth(before.cpu_wait_seconds, after.cpu_wait_seconds), each_second * kPercent));
  set_disk(sample, before.disk, after.disk, each_second);
  set_network(sample, before.network, after.network, each_second);
  return sample;
}

void set_processors(v1::HostSample& sample, const port::HostCounters& before, const port::HostCounters& after) {
  constexpr double kPercent = 100;
  if (!before.processors || !after.processors) return;
  const auto all = growth(before.processors->all_seconds, after.processors->all_seconds);
  if (!all || *all <= 0) return;
  const auto percent = [&](double port::HostCounters::Processors::*counter) {
    return times(growth((*before.processors).*counter, (*after.processors).*counter), kPercent / *all);
  };
  set(sample, &v1::HostSample::set_cpu_percent, percent(&port::HostCounters::Processors::busy_seconds));
  set(sample, &v1::HostSample::set_cpu_wait_percent, percent(&port::HostCounters::Processors::wait_seconds));
  set(sample, &v1::HostSample::set_cpu_stolen_percent, percent(&port::HostCounters::Processors::stolen_seconds));
}

v1::HostSample host_sample(const port::HostCounters& before, const port::HostCounters& after, double each_second) {
  v1::HostSample sample;
  set(sample, &v1::HostSample::set_memory_used_bytes, number(after.memory_used_bytes));
  set(sample, &v1::HostSample::set_memory_total_bytes, number(after.memory_total_bytes));
  set(sample, &v1::HostSample::set_swap_used_bytes, number(after.swap_used_bytes));
  if (each_second == 0) return sample;
  set_processors(sample, before, after);
  set_disk(sample, before.disk, after.disk, each_second);
  set_network(sample, before.network, after.network, each_second);
  return sample;
}

}  // namespace

std::vector<v1::Sample> Metering::step(const std::string& host_id, const port::Counters& counters,
                                       Milliseconds now_ms) {
  constexpr double kMilliseconds = 1'000;
  const Milliseconds passed_ms = before_ms_ ? now_ms - *before_ms_ : 0;
  const double each_second = passed_ms < kLeastMs ? 0 : kMilliseconds / static_cast<double>(passed_ms);
  std::vector<v1::Sample> samples;
  v1::Sample& host = samples.emplace_back();
  host.set_id(host_id);
  *host.mutable_host() = host_sample(host_before_, counters.host, each_second);
  std::map<std::string, port::GuestCounters> guests;
  for (const port::GuestCounters& guest : counters.guests) {
    const auto before = guests_before_.find(guest.vm_id);
    const bool is_new = before == guests_before_.end();
    v1::Sample sample;
    sample.set_id(guest.vm_id);
    *sample.mutable_vm() = guest_sample(is_new ? guest : before->second, guest, is_new ? 0 : each_second);
    if (sample.vm().ByteSizeLong() != 0) samples.push_back(std::move(sample));
    guests.emplace(guest.vm_id, guest);
  }
  // After too short a time the look before stays the one to compare with.
  if (before_ms_ && each_second == 0) return samples;
  before_ms_ = now_ms;
  host_before_ = counters.host;
  guests_before_ = std::move(guests);
  return samples;
}

}  // namespace gantry::host
