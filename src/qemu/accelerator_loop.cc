#include "qemu/accelerator_loop.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/unique_fd.h"

namespace gantry::qemu {
namespace {

using Step = AcceleratorLoopReport::Step;

// Guest physical addresses, mapped one to one.
constexpr std::uint64_t kLevel4Table = 0x1000;
constexpr std::uint64_t kLevel3Table = 0x2000;
constexpr std::uint64_t kLevel2Table = 0x3000;
constexpr std::uint64_t kCode = 0x4000;
constexpr std::uint64_t kTurnsLeft = 0x5000;

constexpr std::uint64_t kPagePresentWritable = 0x3;
constexpr std::uint64_t kPageLarge = 0x80;

constexpr std::uint16_t kBeginPort = 0x10;

// rbx: kTurnsLeft, rcx: the turns. Leaves the guest once before the loop, so that the first entry is not measured.
constexpr std::array<std::uint8_t, 14> kGuestCode = {
    0xe6, kBeginPort,        // out %al, $kBeginPort
    0x48, 0x89,       0x0b,  // 1: mov %rcx, (%rbx)
    0x48, 0xff,       0xc9,  // dec %rcx
    0x75, 0xf8,              // jnz 1b
    0x48, 0x89,       0x0b,  // mov %rcx, (%rbx)
    0xf4,                    // hlt
};

void run_natively(std::uint64_t turns) {
  std::uint64_t turns_left = 0;
  asm volatile(
      "1: mov %[turns], (%[memory])\n"
      "dec %[turns]\n"
      "jnz 1b\n"
      : [turns] "+c"(turns)
      : [memory] "b"(&turns_left)
      : "memory", "cc");
}

std::int64_t processor_time_us() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto to_us = [](const timeval& time) { return std::int64_t{time.tv_sec} * 1'000'000 + time.tv_usec; };
  return to_us(usage.ru_utime) + to_us(usage.ru_stime);
}

void put(std::uint8_t* memory, std::uint64_t address, std::uint64_t value) {
  std::memcpy(memory + address, &value, sizeof value);
}

void fill_memory(std::uint8_t* memory) {
  put(memory, kLevel4Table, kLevel3Table | kPagePresentWritable);
  put(memory, kLevel3Table, kLevel2Table | kPagePresentWritable);
  put(memory, kLevel2Table, 0 | kPagePresentWritable | kPageLarge);
  put(memory, kTurnsLeft, kAcceleratorLoopTurns);
  std::memcpy(memory + kCode, kGuestCode.data(), kGuestCode.size());
}

kvm_segment flat_segment(std::uint8_t type, std::uint16_t selector) {
  kvm_segment segment{};
  segment.limit = 0xffffffff;
  segment.selector = selector;
  segment.type = type;
  segment.present = 1;
  segment.s = 1;
  segment.g = 1;
  return segment;
}

// 64-bit mode at ring 0 with paging on, as a kernel has it (Intel SDM volume 3, 4.5; AMD APM volume 2, 5.3).
bool set_registers(int vcpu) {
  kvm_sregs special{};
  if (::ioctl(vcpu, KVM_GET_SREGS, &special) < 0) return false;
  special.cs = flat_segment(11, 8);
  special.cs.l = 1;
  special.ds = special.es = special.fs = special.gs = special.ss = flat_segment(3, 16);
  special.ds.db = special.es.db = special.fs.db = special.gs.db = special.ss.db = 1;
  special.cr3 = kLevel4Table;
  special.cr4 |= 1U << 5U;                   // PAE
  special.cr0 |= (1U << 31U) | 1U;           // PG, PE
  special.efer |= (1U << 10U) | (1U << 8U);  // LMA, LME
  if (::ioctl(vcpu, KVM_SET_SREGS, &special) < 0) return false;
  kvm_regs general{};
  general.rip = kCode;
  general.rflags = 2;
  general.rbx = kTurnsLeft;
  general.rcx = kAcceleratorLoopTurns;
  return ::ioctl(vcpu, KVM_SET_REGS, &general) == 0;
}

// Until the guest leaves with `exit_reason`. False: it left otherwise, and the report says how.
bool run_until(int vcpu, const kvm_run& state, std::uint32_t exit_reason, AcceleratorLoopReport& report) {
  int result = 0;
  do {
    result = ::ioctl(vcpu, KVM_RUN, 0);
  } while (result < 0 && (errno == EINTR || errno == EAGAIN));
  if (result < 0) {
    report.error_number = errno;
  } else if (state.exit_reason != exit_reason) {
    report.exit_reason = state.exit_reason;
  }
  return result == 0 && state.exit_reason == exit_reason;
}

bool add_memory(int vm, std::uint8_t* memory) {
  // Intel processors without "unrestricted guest" need this address to be somewhere unused.
  if (::ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000UL) < 0) return false;
  fill_memory(memory);
  kvm_userspace_memory_region region{};
  region.memory_size = kAcceleratorGuestBytes;
  region.userspace_addr = reinterpret_cast<std::uintptr_t>(memory);
  return ::ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) == 0;
}

void run_guest(const char* device, std::uint8_t* memory, AcceleratorLoopReport& report) {
  // False with the error noted when `result` is that of a failed system call.
  const auto passed = [&report](int result) {
    if (result < 0) report.error_number = errno;
    return result >= 0;
  };
  report.step = Step::open_device;
  const UniqueFd kvm(::open(device, O_RDWR | O_CLOEXEC));
  if (!passed(kvm.get())) return;

  report.step = Step::get_api_version;
  report.api_version = ::ioctl(kvm.get(), KVM_GET_API_VERSION, 0);
  if (!passed(report.api_version) || report.api_version != KVM_API_VERSION) return;

  report.step = Step::create_vm;
  const UniqueFd vm(::ioctl(kvm.get(), KVM_CREATE_VM, 0));
  if (!passed(vm.get())) return;

  report.step = Step::add_memory;
  if (!passed(add_memory(vm.get(), memory) ? 0 : -1)) return;

  report.step = Step::create_vcpu;
  const UniqueFd vcpu(::ioctl(vm.get(), KVM_CREATE_VCPU, 0));
  if (!passed(vcpu.get())) return;
  const int state_bytes = ::ioctl(kvm.get(), KVM_GET_VCPU_MMAP_SIZE, 0);
  if (!passed(state_bytes)) return;
  const void* state =
      ::mmap(nullptr, static_cast<std::size_t>(state_bytes), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu.get(), 0);
  if (!passed(state == MAP_FAILED ? -1 : 0)) return;
  const auto& run_state = *static_cast<const kvm_run*>(state);

  report.step = Step::set_registers;
  if (!passed(set_registers(vcpu.get()) ? 0 : -1)) return;

  report.step = Step::run;
  if (!run_until(vcpu.get(), run_state, KVM_EXIT_IO, report)) return;
  const std::int64_t begin_us = processor_time_us();
  if (!run_until(vcpu.get(), run_state, KVM_EXIT_HLT, report)) return;
  report.guest_us = processor_time_us() - begin_us;
  report.step = Step::finished;
}

}  // namespace

void run_accelerator_loop(const char* device, std::uint8_t* guest_memory, AcceleratorLoopReport& report) {
  report = {};
  const std::int64_t begin_us = processor_time_us();
  run_natively(kAcceleratorLoopTurns);
  report.native_us = processor_time_us() - begin_us;
  run_guest(device, guest_memory, report);
}

std::uint64_t accelerator_turns_made(const std::uint8_t* guest_memory) {
  std::uint64_t left = 0;
  std::memcpy(&left, guest_memory + kTurnsLeft, sizeof left);
  return left <= kAcceleratorLoopTurns ? kAcceleratorLoopTurns - left : 0;
}

}  // namespace gantry::qemu
