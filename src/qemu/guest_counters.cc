#include "qemu/guest_counters.h"

#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "qemu/host_counters.h"
#include "qemu/move_session.h"
#include "runtime/files.h"

namespace gantry::qemu {
namespace {

namespace fs = std::filesystem;
constexpr double kNanoseconds = 1e9;

std::string process_directory(pid_t process) { return "/proc/" + std::to_string(process); }

// The second number of statm, in pages.
std::optional<std::uint64_t> resident_bytes(pid_t process) {
  const auto text = runtime::read_file(process_directory(process) + "/statm");
  const std::size_t blank = text ? text->find(' ') : std::string::npos;
  if (blank == std::string::npos) return std::nullopt;
  std::uint64_t pages = 0;
  std::from_chars(text->data() + blank + 1, text->data() + text->size(), pages);
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

// A tap may be open several times.
std::set<std::string> interfaces_of(pid_t process) {
  std::set<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(process_directory(process) + "/fdinfo", error)) {
    const auto text = runtime::read_file(entry.path());
    if (!text) continue;
    if (const auto name = interface_in(*text); !name.empty()) names.emplace(name);
  }
  return names;
}

// What the host receives from a tap is what the guest sent. By /proc, which tells of the network that this process is
// in, whatever is mounted at /sys.
std::optional<port::NetworkCounters> network_of(pid_t process) {
  const std::set<std::string> taps = interfaces_of(process);
  if (taps.empty()) return std::nullopt;
  auto all = interfaces_in(runtime::read_file("/proc/net/dev").value_or(""),
                           [&](std::string_view name) { return taps.contains(std::string(name)); });
  if (all) std::swap(all->sent_bytes, all->received_bytes);
  return all;
}

}  // namespace

std::vector<pid_t> processor_threads_in(const std::string& reply) {
  std::vector<pid_t> threads;
  const auto processors = parse_answer(reply);
  if (!processors.is_array()) return threads;
  for (const auto& processor : processors) {
    const std::uint64_t thread = number_in(processor, "thread-id");
    if (thread != 0 && thread <= std::numeric_limits<pid_t>::max()) threads.push_back(static_cast<pid_t>(thread));
  }
  return threads;
}

std::optional<port::DiskCounters> disk_counters_in(const std::string& reply) {
  const auto disks = parse_answer(reply);
  if (!disks.is_array()) return std::nullopt;
  port::DiskCounters all;
  for (const auto& disk : disks) {
    const auto& stats = member_of(disk, "stats");
    all.read_bytes += number_in(stats, "rd_bytes");
    all.written_bytes += number_in(stats, "wr_bytes");
    all.reads += number_in(stats, "rd_operations");
    all.writes += number_in(stats, "wr_operations");
    all.read_seconds += static_cast<double>(number_in(stats, "rd_total_time_ns")) / kNanoseconds;
    all.write_seconds += static_cast<double>(number_in(stats, "wr_total_time_ns")) / kNanoseconds;
  }
  return all;
}

std::optional<GuestMemory> guest_memory_in(const std::string& reply) {
  constexpr std::uint64_t kNotTold = ~0ULL;
  const auto told = parse_answer(reply);
  if (!told.is_object()) return std::nullopt;
  GuestMemory memory{.told_unix = number_in(told, "last-update")};
  const auto& stats = member_of(told, "stats");
  const std::uint64_t total = number_in(stats, "stat-total-memory");
  // What it could have without swapping; older guests tell only what is not used for anything.
  std::uint64_t unused = number_in(stats, "stat-available-memory");
  if (unused == 0 || unused == kNotTold) unused = number_in(stats, "stat-free-memory");
  if (total != 0 && total != kNotTold && unused <= total) memory.used_bytes = total - unused;
  return memory;
}

std::optional<ThreadTimes> times_in(std::string_view schedstat) {
  std::uint64_t run = 0;
  std::uint64_t wait = 0;
  const char* const end = schedstat.data() + schedstat.size();
  const auto first = std::from_chars(schedstat.data(), end, run);
  if (first.ec != std::errc() || first.ptr == end) return std::nullopt;
  if (std::from_chars(first.ptr + 1, end, wait).ec != std::errc()) return std::nullopt;
  return ThreadTimes{.run_seconds = static_cast<double>(run) / kNanoseconds,
                     .wait_seconds = static_cast<double>(wait) / kNanoseconds};
}

std::string_view interface_in(std::string_view fdinfo) {
  constexpr std::string_view kWord = "\niff:\t";
  const std::size_t begin = fdinfo.find(kWord);
  if (begin == std::string_view::npos) return {};
  fdinfo.remove_prefix(begin + kWord.size());
  return fdinfo.substr(0, fdinfo.find('\n'));
}

port::GuestCounters read_guest_counters(pid_t process, const std::vector<pid_t>& processor_threads) {
  port::GuestCounters counters;
  for (const pid_t thread : processor_threads) {
    const auto text = runtime::read_file(process_directory(process) + "/task/" + std::to_string(thread) + "/schedstat");
    const auto times = text ? times_in(*text) : std::nullopt;
    if (!times) continue;
    counters.cpu_seconds = counters.cpu_seconds.value_or(0) + times->run_seconds;
    counters.cpu_wait_seconds = counters.cpu_wait_seconds.value_or(0) + times->wait_seconds;
  }
  counters.memory_resident_bytes = resident_bytes(process);
  counters.network = network_of(process);
  return counters;
}

}  // namespace gantry::qemu
