// What this machine is: processors, memory, systems' versions, and how guests are run on it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "port/executor.h"
#include "port/hypervisor.h"
#include "qemu/accelerator.h"
#include "runtime/worker_pool.h"

namespace gantry::qemu {

struct HostFactsOptions {
  std::string qemu_program = "qemu-system-x86_64";
  std::string tpm_program = "swtpm";
  // What guests are run with; without it, the probe decides once, at the first question.
  std::optional<AcceleratorChoice> accelerator = std::nullopt;
  // The disk it is on has to have room; empty: none is looked at.
  std::string state_directory = {};
  // Where other hosts reach this one; asked on the pool, and may block. None: nowhere.
  std::function<std::string()> address = {};
};

// `executor` and `pool` must outlive it. Files are read and QEMU is asked for its version at each question, on the
// pool. An object that has ended answers no more.
class MachineFacts final : public port::HostFacts {
 public:
  MachineFacts(port::Executor& executor, runtime::WorkerPool& pool, HostFactsOptions options = {});
  ~MachineFacts() override;
  MachineFacts(const MachineFacts&) = delete;
  MachineFacts& operator=(const MachineFacts&) = delete;

  void probe(std::function<void(const v1::HostStatus&)> done) override;

 private:
  struct Machine;
  port::Executor& executor_;
  runtime::WorkerPool& pool_;
  std::shared_ptr<Machine> machine_;
  // Ends with this object, while a worker may hold `machine_` longer.
  std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

// From the texts of the system's files, for what is not there: empty or 0.
// /proc/cpuinfo: the first processor's model.
std::string cpu_model_in(std::string_view cpuinfo);
// /proc/meminfo, one line's value in bytes: "MemTotal". Nothing: there is no such line, or no number in it.
std::optional<std::uint64_t> memory_bytes_in(std::string_view meminfo, std::string_view name);
// os-release(5): PRETTY_NAME, else NAME.
std::string operating_system_in(std::string_view os_release);
// What is wrong with the machine itself; without numbers that move, so that the same is told as long as it is the same.
struct MachineHealth {
  std::uint64_t memory_bytes = 0;
  std::uint64_t memory_available_bytes = 0;
  // Of the disk with the daemon's state; 0: not known.
  std::uint64_t disk_bytes = 0;
  std::uint64_t disk_available_bytes = 0;
};
std::vector<v1::Problem> problems_in(const MachineHealth& health);
// `qemu-system-x86_64 --version`: "7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)".
std::string version_in(std::string_view version_output);

}  // namespace gantry::qemu
