#include "qemu/accelerator.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <string_view>
#include <system_error>

#include "base/unique_fd.h"
#include "runtime/clock.h"

namespace gantry::qemu {
namespace {

using Report = AcceleratorLoopReport;

// KVM at work is about as fast as the processor; emulation is a thousand times slower. A guest of a guest, where each
// timer tick costs two changes of world, lies well below this.
constexpr std::int64_t kSlowdownMax = 8;
constexpr std::int64_t kSlackUs = 20'000;
// Fewer show nothing.
constexpr std::uint64_t kTurnsMin = kAcceleratorLoopTurns / 100;

// After it was killed, the child is given this long to be gone.
constexpr Milliseconds kLastWait_ms = 500;

// Pages shared with a child. Null when there is no memory.
class SharedPages {
 public:
  explicit SharedPages(std::size_t bytes)
      : bytes_(bytes), data_(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    if (data_ == MAP_FAILED) data_ = nullptr;
  }
  ~SharedPages() {
    if (data_ != nullptr) ::munmap(data_, bytes_);
  }
  SharedPages(const SharedPages&) = delete;
  SharedPages& operator=(const SharedPages&) = delete;
  [[nodiscard]] void* data() const { return data_; }

 private:
  std::size_t bytes_;
  void* data_;
};

AcceleratorChoice tcg(std::string reason) { return {.accelerator = "tcg", .reason = std::move(reason)}; }

std::string words(int error_number) { return std::generic_category().message(error_number); }

std::string in_ms(std::int64_t time_us) {
  const std::int64_t tenths = (time_us + 50) / 100;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " ms";
}

std::string_view name_of(Report::Step step) {
  switch (step) {
    case Report::Step::begin: return "to begin";
    case Report::Step::open_device: return "to open the device";
    case Report::Step::get_api_version: return "to tell its version";
    case Report::Step::create_vm: return "to make a guest";
    case Report::Step::add_memory: return "to give the guest memory";
    case Report::Step::create_vcpu: return "to give the guest a processor";
    case Report::Step::set_registers: return "to set the guest's registers";
    case Report::Step::run: return "to run the guest";
    case Report::Step::finished: return "to end";
  }
  return "to go on";
}

AcceleratorChoice choose_without_device(const Report& report, const std::string& device) {
  switch (report.error_number) {
    case ENOENT:
      return tcg(
          device +
          " is not there: the processor's virtualization is off in the firmware or hidden by an outer hypervisor, "
          "or the module kvm_intel or kvm_amd is not loaded");
    case ENODEV:
    case ENXIO: return tcg(device + " has no driver behind it: load the module kvm_intel or kvm_amd");
    case EACCES:
    case EPERM: return tcg("no permission to open " + device + ": run gantryd as root or as a member of the group kvm");
    default: return tcg(device + " cannot be opened: " + words(report.error_number));
  }
}

// By processor time and turns, not by whether the guest was done in time: a busy machine is not a slow one.
AcceleratorChoice choose_by_speed(const Report& report, const std::string& device) {
  const std::string seen = "its guest made " + std::to_string(report.turns) + " turns of a loop in " +
                           in_ms(report.guest_us) + ", this processor itself needs " + in_ms(report.native_us) +
                           " for " + std::to_string(kAcceleratorLoopTurns);
  const auto turns = static_cast<std::int64_t>(report.turns);
  const std::int64_t native_us = report.native_us * turns / static_cast<std::int64_t>(kAcceleratorLoopTurns);
  if (report.guest_us > kSlowdownMax * native_us + kSlackUs) {
    return tcg(device + " is too slow to be used, as KVM that emulates each instruction is: " + seen);
  }
  if (report.turns < kTurnsMin) return tcg(device + " could not be judged on this busy machine: " + seen);
  return {.accelerator = "kvm", .reason = "KVM works: " + seen};
}

// In the child: nothing but system calls.
[[noreturn]] void be_the_child(const char* device, std::uint8_t* memory, Report& report) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::close_range(3, ~0U, 0);
  run_accelerator_loop(device, memory, report);
  ::_exit(0);
}

// The child's processor time when it ended within the time; it is reaped then. Otherwise nothing.
std::optional<std::int64_t> wait_for_end(int pidfd, pid_t pid, Milliseconds until_ms) {
  for (;;) {
    const Milliseconds left_ms = std::max<Milliseconds>(0, until_ms - runtime::real_now().monotonic_ms);
    pollfd waited{.fd = pidfd, .events = POLLIN, .revents = 0};
    const int ready = ::poll(&waited, 1, static_cast<int>(left_ms));
    if (ready == 0) return std::nullopt;
    if (ready < 0 && errno == EINTR) continue;
    struct rusage usage {};
    int status = 0;
    if (::wait4(pid, &status, WNOHANG, &usage) == 0) continue;
    const auto to_us = [](const timeval& time) { return std::int64_t{time.tv_sec} * 1'000'000 + time.tv_usec; };
    return to_us(usage.ru_utime) + to_us(usage.ru_stime);
  }
}

}  // namespace

AcceleratorChoice choose_accelerator(const AcceleratorLoopReport& report, const std::string& device) {
  switch (report.step) {
    case Report::Step::open_device: return choose_without_device(report, device);
    case Report::Step::get_api_version:
      if (report.error_number == 0) {
        return tcg(device + " speaks version " + std::to_string(report.api_version) + " of KVM's interface, not 12");
      }
      break;
    case Report::Step::finished: return choose_by_speed(report, device);
    case Report::Step::run:
      if (report.exit_reason != 0) {
        return tcg(device + " does not work: its test guest ended with KVM's exit reason " +
                   std::to_string(report.exit_reason));
      }
      if (report.error_number == 0) return choose_by_speed(report, device);
      break;
    default: break;
  }
  const std::string why = report.error_number == 0 ? "it took too long" : words(report.error_number);
  return tcg(device + " does not work: KVM failed " + std::string(name_of(report.step)) + ": " + why);
}

AcceleratorChoice probe_accelerator(const AcceleratorProbeOptions& options) {
  const Milliseconds until_ms = runtime::real_now().monotonic_ms + options.deadline_ms;
  const SharedPages report_page(sizeof(Report));
  const SharedPages memory(kAcceleratorGuestBytes);
  if (report_page.data() == nullptr || memory.data() == nullptr) {
    return tcg("KVM could not be tried: there is no memory for it");
  }
  auto* report = new (report_page.data()) Report;
  auto* guest_memory = static_cast<std::uint8_t*>(memory.data());
  const pid_t pid = ::fork();
  if (pid < 0) return tcg("KVM could not be tried: no process can be made: " + words(errno));
  if (pid == 0) be_the_child(options.device.c_str(), guest_memory, *report);

  // glibc has no usable declaration of it for C++.
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid()) {
    const int error_number = errno;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return tcg("KVM could not be tried: its test cannot be watched: " + words(error_number));
  }
  std::optional<std::int64_t> used_us = wait_for_end(pidfd.get(), pid, until_ms);
  const bool in_time = used_us.has_value();
  if (!in_time) {
    ::kill(pid, SIGKILL);
    used_us = wait_for_end(pidfd.get(), pid, runtime::real_now().monotonic_ms + kLastWait_ms);
    if (!used_us) return tcg(options.device + " does not work: its test guest hangs and cannot be ended");
  }
  Report seen = *report;
  if (seen.step >= Report::Step::run) seen.turns = accelerator_turns_made(guest_memory);
  if (!in_time && seen.step == Report::Step::run) seen.guest_us = *used_us - seen.native_us;
  return choose_accelerator(seen, options.device);
}

}  // namespace gantry::qemu
