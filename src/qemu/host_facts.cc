#include "qemu/host_facts.h"

#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <exception>
#include <mutex>
#include <utility>

#include "qemu/cgroup.h"
#include "qemu/cpu_models.h"
#include "qemu/numa_nodes.h"
#include "qemu/postcopy_support.h"
#include "runtime/files.h"
#include "runtime/process.h"
#include "runtime/report.h"

namespace gantry::qemu {
namespace {

// Free memory is told in steps, so that not each look is news.
constexpr std::uint64_t kMemoryStepBytes = std::uint64_t{64} << 20U;

constexpr Milliseconds kVersionTimeout_ms = 10'000;

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

// What stands behind `separator` on the first line that begins with exactly `name`.
std::string_view value_in(std::string_view text, std::string_view name, char separator) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::size_t split = line.find(separator);
    if (split != std::string_view::npos && trim(line.substr(0, split)) == name) return trim(line.substr(split + 1));
  }
  return {};
}

std::string read(const char* path) { return runtime::read_file(path).value_or(""); }

std::string operating_system() {
  const std::string name = operating_system_in(read("/etc/os-release"));
  return name.empty() ? operating_system_in(read("/usr/lib/os-release")) : name;
}

std::string version_of(const std::string& program) {
  const auto output = runtime::run_process({.argv = {program, "--version"}, .timeout_ms = kVersionTimeout_ms});
  return output ? version_in(output->out) : std::string();
}

void look_at_disk(const std::string& directory, MachineHealth& health) {
  struct statvfs facts {};
  if (directory.empty() || ::statvfs(directory.c_str(), &facts) != 0) return;
  health.disk_bytes = std::uint64_t{facts.f_blocks} * facts.f_frsize;
  health.disk_available_bytes = std::uint64_t{facts.f_bavail} * facts.f_frsize;
}

v1::Problem make_problem(const char* code, const char* summary, const char* cause, const char* next_step) {
  v1::Problem problem;
  problem.set_code(code);
  problem.set_summary(summary);
  problem.set_cause(cause);
  problem.set_next_step(next_step);
  return problem;
}

}  // namespace

std::vector<v1::Problem> problems_in(const MachineHealth& health) {
  constexpr std::uint64_t kLittleDisk = std::uint64_t{5} << 30U;
  constexpr std::uint64_t kFew = 20;  // a twentieth
  std::vector<v1::Problem> problems;
  const bool little = health.disk_available_bytes < std::min(kLittleDisk, health.disk_bytes / kFew);
  if (health.disk_bytes != 0 && little) {
    problems.push_back(make_problem("disk_nearly_full", "the disk with gantryd's state is nearly full",
                                    "less than 5 % and less than 5 GiB are free",
                                    "make room: what gantryd cannot write it cannot begin"));
  }
  if (health.memory_bytes != 0 && health.memory_available_bytes < health.memory_bytes / kFew) {
    problems.push_back(make_problem("memory_low", "this machine has hardly any free memory",
                                    "less than 5 % are available", "stop what runs there beside its guests"));
  }
  return problems;
}

std::string cpu_model_in(std::string_view cpuinfo) { return std::string(value_in(cpuinfo, "model name", ':')); }

std::optional<std::uint64_t> memory_bytes_in(std::string_view meminfo, std::string_view name) {
  const std::string_view value = value_in(meminfo, name, ':');
  std::uint64_t kib = 0;
  if (std::from_chars(value.data(), value.data() + value.size(), kib).ec != std::errc()) return std::nullopt;
  return kib * 1024;
}

std::string operating_system_in(std::string_view os_release) {
  for (const char* name : {"PRETTY_NAME", "NAME"}) {
    std::string_view value = value_in(os_release, name, '=');
    if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'') && value.back() == value.front()) {
      value = value.substr(1, value.size() - 2);
    }
    if (!value.empty()) return std::string(value);
  }
  return {};
}

std::string version_in(std::string_view version_output) {
  constexpr std::string_view kBefore = "version ";
  const std::string_view line = version_output.substr(0, version_output.find_first_of("\n,"));
  const std::size_t begin = line.find(kBefore);
  return begin == std::string_view::npos ? std::string() : std::string(trim(line.substr(begin + kBefore.size())));
}

// Shared with the worker that looks; several may look at once.
struct MachineFacts::Machine {
  explicit Machine(HostFactsOptions chosen) : options(std::move(chosen)) {}

  HostFactsOptions options;
  std::mutex mutex;
  v1::HostStatus last;
  // Of that QEMU with that accelerator, unless asking for others failed since; asking takes a moment.
  std::string models_of;
  std::vector<std::string> models;

  AcceleratorChoice accelerator() {
    const std::lock_guard lock(mutex);
    if (!options.accelerator) options.accelerator = probe_accelerator();
    return *options.accelerator;
  }

  // Those of a QEMU that was replaced are asked for anew.
  std::vector<std::string> cpu_models(const std::string& version, const std::string& accelerator) {
    const std::lock_guard lock(mutex);
    const std::string key = version + " " + accelerator;
    if (models_of == key) return models;
    auto found = usable_cpu_models(options.qemu_program, accelerator);
    if (!found) {
      // What it told before is nearer to the truth than nothing, by which its VMs could not be started.
      runtime::report_problem("cannot tell the processors guests can have: " + found.error().to_text());
      return models;
    }
    models_of = key;
    return models = std::move(*found);
  }

  // What it told last, should it fail unexpectedly: whoever asked waits for an answer.
  v1::HostStatus look_safely() {
    v1::HostStatus status;
    try {
      look(status);
    } catch (const std::exception& exception) {
      runtime::report_problem(std::string("cannot look at this host: ") + exception.what());
      const std::lock_guard lock(mutex);
      return last;
    }
    const std::lock_guard lock(mutex);
    return last = status;
  }

  void look(v1::HostStatus& status) {
    status.set_version(GANTRY_VERSION);
    struct utsname names {};
    if (::uname(&names) == 0) status.set_kernel(names.release);
    status.set_operating_system(operating_system());
    status.set_cpu_model(cpu_model_in(read("/proc/cpuinfo")));
    status.set_cpus(static_cast<std::uint32_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN))));
    const std::string meminfo = read("/proc/meminfo");
    status.set_memory_bytes(memory_bytes_in(meminfo, "MemTotal").value_or(0));
    const std::uint64_t available = memory_bytes_in(meminfo, "MemAvailable").value_or(0);
    status.set_memory_available_bytes(available - available % kMemoryStepBytes);
    status.set_qemu_version(version_of(options.qemu_program));
    status.set_swtpm_version(version_of(options.tpm_program));
    const AcceleratorChoice choice = accelerator();
    status.set_accelerator(choice.accelerator);
    status.set_accelerator_reason(choice.reason);
    status.set_postcopy_problem(postcopy_problem());
    status.set_cgroup_version(Cgroups::detect().version());
    if (!status.qemu_version().empty()) {
      for (std::string& model : cpu_models(status.qemu_version(), choice.accelerator)) {
        status.add_cpu_models(std::move(model));
      }
    }
    for (v1::NumaNode& node : numa_nodes()) *status.add_numa_nodes() = std::move(node);
    MachineHealth health{.memory_bytes = status.memory_bytes(), .memory_available_bytes = available};
    look_at_disk(options.state_directory, health);
    for (v1::Problem& problem : problems_in(health)) *status.add_problems() = std::move(problem);
    if (options.address) status.set_address(options.address());
  }
};

MachineFacts::MachineFacts(port::Executor& executor, runtime::WorkerPool& pool, HostFactsOptions options)
    : executor_(executor), pool_(pool), machine_(std::make_shared<Machine>(std::move(options))) {}

MachineFacts::~MachineFacts() = default;

void MachineFacts::probe(std::function<void(const v1::HostStatus&)> done) {
  pool_.submit([machine = machine_, alive = std::weak_ptr(alive_), done = std::move(done), &executor = executor_] {
    executor.post([alive, done, status = machine->look_safely()] {
      if (!alive.expired()) done(status);
    });
  });
}

}  // namespace gantry::qemu
