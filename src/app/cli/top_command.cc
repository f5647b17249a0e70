// What hosts and guests use now.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <thread>

#include "app/cli/commands.h"

namespace gantry::app {
namespace {

constexpr std::chrono::seconds kEvery(10);
constexpr std::uint32_t kVmsShown = 20;

// "-": it was not measured.
std::string number(bool measured, double value, const char* unit) {
  if (!measured) return "-";
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), value < 10 ? "%.1f%s" : "%.0f%s", value, unit);
  return text.data();
}

std::string bytes(bool measured, double value) {
  return measured ? human_bytes(static_cast<std::uint64_t>(std::max(value, 0.0))) : "-";
}

std::string rates(bool measured, double in, double out) {
  return measured ? human_bytes(static_cast<std::uint64_t>(in)) + " / " + human_bytes(static_cast<std::uint64_t>(out))
                  : "-";
}

void print_hosts(const v1::Top& top) {
  Table table({"HOST", "CPU", "WAIT", "MEMORY", "OF", "DISK R/W A SECOND", "NETWORK IN/OUT A SECOND"});
  for (const v1::TopEntry& entry : top.hosts()) {
    const v1::HostSample& host = entry.sample().host();
    table.add({entry.name(), number(host.has_cpu_percent(), host.cpu_percent(), " %"),
               number(host.has_cpu_wait_percent(), host.cpu_wait_percent(), " %"),
               bytes(host.has_memory_used_bytes(), host.memory_used_bytes()),
               bytes(host.has_memory_total_bytes(), host.memory_total_bytes()),
               rates(host.has_disk_read_bytes_per_second(), host.disk_read_bytes_per_second(),
                     host.disk_written_bytes_per_second()),
               rates(host.has_network_received_bytes_per_second(), host.network_received_bytes_per_second(),
                     host.network_sent_bytes_per_second())});
  }
  std::cout << table.text();
}

void print_vms(const v1::Top& top, std::uint32_t most) {
  std::vector<const v1::TopEntry*> vms;
  for (const v1::TopEntry& entry : top.vms()) vms.push_back(&entry);
  const auto cpu = [](const v1::TopEntry* entry) { return -entry->sample().vm().cpu_percent(); };
  std::ranges::stable_sort(vms, {}, cpu);
  Table table({"VM", "HOST", "CPU", "WAIT", "RESIDENT", "DISK R/W A SECOND", "NETWORK IN/OUT A SECOND"});
  for (const v1::TopEntry* entry : vms) {
    if (most-- == 0) break;
    const v1::VmSample& vm = entry->sample().vm();
    table.add({entry->name(), entry->host(), number(vm.has_cpu_percent(), vm.cpu_percent(), " %"),
               number(vm.has_cpu_wait_percent(), vm.cpu_wait_percent(), " %"),
               bytes(vm.has_memory_resident_bytes(), vm.memory_resident_bytes()),
               rates(vm.has_disk_read_bytes_per_second(), vm.disk_read_bytes_per_second(),
                     vm.disk_written_bytes_per_second()),
               rates(vm.has_network_received_bytes_per_second(), vm.network_received_bytes_per_second(),
                     vm.network_sent_bytes_per_second())});
  }
  std::cout << table.text();
}

int show_top(Session& session, std::uint32_t most, bool once) {
  auto client = session.api();
  if (!client) return report(client.error());
  const bool follows = !once && session.format() == Format::table && ::isatty(STDOUT_FILENO) == 1;
  while (true) {
    const auto top = (*client)->call<v1::Top>("GetTop", v1::Empty());
    if (!top) return report(top.error());
    if (session.format() != Format::table) {
      print_record(*top, session.format());
      return 0;
    }
    // Clears the terminal.
    if (follows) std::cout << "\x1b[H\x1b[2J";
    print_hosts(*top);
    std::cout << "\n";
    print_vms(*top, most);
    std::cout << std::flush;
    if (!follows) return 0;
    std::this_thread::sleep_for(kEvery);
  }
}

}  // namespace

void add_top_command(const Commands& commands) {
  auto* command = commands.add(commands.app, "top", "Show what hosts and virtual machines use, each ten seconds",
                               "gantry top\ngantry top --once --vms 5\ngantry top -o json");
  auto once = std::make_shared<bool>(false);
  auto most = std::make_shared<std::uint32_t>(kVmsShown);
  command->add_flag("--once", *once, "Show it once, as it is when the output is no terminal");
  command->add_option("--vms", *most, "So many virtual machines, those that use most of the processors first")
      ->type_name("COUNT")
      ->check(within(1, 1'000'000))
      ->capture_default_str();
  commands.run(command, [&session = commands.session, once, most] { return show_top(session, *most, *once); });
}

}  // namespace gantry::app
