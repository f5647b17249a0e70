#include "qemu/numa_nodes.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "qemu/host_facts.h"
#include "runtime/files.h"

namespace gantry::qemu {
namespace {

// The rest of `text` behind the number; `text` itself when it begins with none.
std::string_view read_number(std::string_view text, std::uint32_t& number) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  return text.substr(static_cast<std::size_t>(parsed.ptr - text.data()));
}

// "Node 0 MemTotal: 1024 kB": without the first two words it is a line of /proc/meminfo.
std::uint64_t memory_in(std::string_view meminfo, const std::string& number) {
  const std::string before = "Node " + number + " MemTotal";
  const std::size_t begin = meminfo.find(before);
  if (begin == std::string_view::npos) return 0;
  return memory_bytes_in(meminfo.substr(begin + before.size() - std::string_view("MemTotal").size()), "MemTotal")
      .value_or(0);
}

}  // namespace

std::uint32_t count_in(std::string_view cpu_list) {
  std::uint32_t count = 0;
  while (!cpu_list.empty()) {
    const std::string_view range = cpu_list.substr(0, cpu_list.find(','));
    cpu_list.remove_prefix(std::min(range.size() + 1, cpu_list.size()));
    std::uint32_t first = 0;
    const std::string_view rest = read_number(range, first);
    if (rest.size() == range.size()) continue;
    std::uint32_t last = first;
    if (!rest.empty() && rest.front() == '-') read_number(rest.substr(1), last);
    if (last >= first) count += last - first + 1;
  }
  return count;
}

std::vector<v1::NumaNode> numa_nodes(const std::string& directory) {
  std::vector<v1::NumaNode> nodes;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename();
    std::uint32_t number = 0;
    const bool is_node = name.rfind("node", 0) == 0 && name.size() > 4 && read_number(name.substr(4), number).empty();
    if (!is_node) continue;
    v1::NumaNode& node = nodes.emplace_back();
    node.set_id(number);
    node.set_cpus(count_in(runtime::read_file(entry.path().string() + "/cpulist").value_or("")));
    node.set_memory_bytes(
        memory_in(runtime::read_file(entry.path().string() + "/meminfo").value_or(""), std::to_string(number)));
  }
  std::sort(nodes.begin(), nodes.end(), [](const auto& one, const auto& other) { return one.id() < other.id(); });
  return nodes;
}

}  // namespace gantry::qemu
