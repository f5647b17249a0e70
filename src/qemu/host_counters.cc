#include "qemu/host_counters.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "base/lines.h"
#include "qemu/host_facts.h"
#include "runtime/files.h"

namespace gantry::qemu {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kSectorBytes = 512;
constexpr double kMilliseconds = 1'000;

std::vector<std::string_view> words_in(std::string_view line) {
  constexpr std::string_view kBlanks = " \t:";
  std::vector<std::string_view> words;
  while (true) {
    const std::size_t begin = line.find_first_not_of(kBlanks);
    if (begin == std::string_view::npos) return words;
    line.remove_prefix(begin);
    const std::size_t size = std::min(line.find_first_of(kBlanks), line.size());
    words.push_back(line.substr(0, size));
    line.remove_prefix(size);
  }
}

// 0: there is no such word, or it is no number.
std::uint64_t number(const std::vector<std::string_view>& words, std::size_t place) {
  std::uint64_t value = 0;
  if (place < words.size()) std::from_chars(words[place].data(), words[place].data() + words[place].size(), value);
  return value;
}

bool is_hardware(const std::string& folder, std::string_view name) {
  std::error_code error;
  return fs::exists(folder + std::string(name) + "/device", error);
}

}  // namespace

std::optional<port::HostCounters::Processors> processors_in(std::string_view stat, double ticks_per_second) {
  // user nice system idle iowait irq softirq steal; what guests used is in user and nice.
  constexpr std::size_t kIdle = 4;
  constexpr std::size_t kWait = 5;
  constexpr std::size_t kStolen = 8;
  std::optional<port::HostCounters::Processors> processors;
  for_each_line(stat, [&](std::string_view line) {
    const auto words = words_in(line);
    if (words.size() <= kStolen || words[0] != "cpu") return;
    double all = 0;
    for (std::size_t place = 1; place <= kStolen; ++place) all += static_cast<double>(number(words, place));
    const auto seconds = [&](std::size_t place) {
      return static_cast<double>(number(words, place)) / ticks_per_second;
    };
    processors = {.busy_seconds = all / ticks_per_second - seconds(kIdle) - seconds(kWait) - seconds(kStolen),
                  .wait_seconds = seconds(kWait),
                  .stolen_seconds = seconds(kStolen),
                  .all_seconds = all / ticks_per_second};
  });
  return processors;
}

void take_memory(std::string_view meminfo, port::HostCounters& counters) {
  const auto total = memory_bytes_in(meminfo, "MemTotal");
  const auto available = memory_bytes_in(meminfo, "MemAvailable");
  const auto swap_total = memory_bytes_in(meminfo, "SwapTotal");
  const auto swap_free = memory_bytes_in(meminfo, "SwapFree");
  counters.memory_total_bytes = total;
  if (total && available && *available <= *total) counters.memory_used_bytes = *total - *available;
  if (swap_total && swap_free && *swap_free <= *swap_total) counters.swap_used_bytes = *swap_total - *swap_free;
}

std::optional<port::DiskCounters> disks_in(std::string_view diskstats,
                                           const std::function<bool(std::string_view name)>& counts) {
  // major minor name, reads, merged, sectors, milliseconds; writes likewise.
  constexpr std::size_t kName = 2;
  constexpr std::size_t kWriteMilliseconds = 10;
  std::optional<port::DiskCounters> all;
  for_each_line(diskstats, [&](std::string_view line) {
    const auto words = words_in(line);
    if (words.size() <= kWriteMilliseconds || !counts(words[kName])) return;
    if (!all) all.emplace();
    all->reads += number(words, 3);
    all->read_bytes += number(words, 5) * kSectorBytes;
    all->read_seconds += static_cast<double>(number(words, 6)) / kMilliseconds;
    all->writes += number(words, 7);
    all->written_bytes += number(words, 9) * kSectorBytes;
    all->write_seconds += static_cast<double>(number(words, kWriteMilliseconds)) / kMilliseconds;
  });
  return all;
}

std::optional<port::NetworkCounters> interfaces_in(std::string_view net_dev,
                                                   const std::function<bool(std::string_view name)>& counts) {
  // name: bytes packets and six more received, then bytes sent.
  constexpr std::size_t kReceived = 1;
  constexpr std::size_t kSent = 9;
  std::optional<port::NetworkCounters> all;
  for_each_line(net_dev, [&](std::string_view line) {
    const auto words = words_in(line);
    if (words.size() <= kSent || line.find(':') == std::string_view::npos || !counts(words[0])) return;
    if (!all) all.emplace();
    all->received_bytes += number(words, kReceived);
    all->sent_bytes += number(words, kSent);
  });
  return all;
}

port::HostCounters read_host_counters() {
  const auto text = [](const char* path) { return runtime::read_file(path).value_or(""); };
  port::HostCounters counters;
  counters.processors = processors_in(text("/proc/stat"), static_cast<double>(::sysconf(_SC_CLK_TCK)));
  take_memory(text("/proc/meminfo"), counters);
  // What lies on others, as partitions and bridges do, would count twice.
  counters.disk = disks_in(text("/proc/diskstats"), [](auto name) { return is_hardware("/sys/block/", name); });
  counters.network =
      interfaces_in(text("/proc/net/dev"), [](auto name) { return is_hardware("/sys/class/net/", name); });
  return counters;
}

}  // namespace gantry::qemu
