// The loop that shows a processor's speed, run natively and as a KVM guest (linux/kvm.h; kernel documentation
// virt/kvm/api.rst). Made to run in a forked child of a process with threads: system calls only, no memory, no locks.
#pragma once

#include <cstdint>

namespace gantry::qemu {

inline constexpr std::uint64_t kAcceleratorLoopTurns = 10'000'000;

// Lives in memory shared between the child, which fills it, and its parent.
struct AcceleratorLoopReport {
  enum class Step : std::uint32_t {
    begin,
    open_device,
    get_api_version,
    create_vm,
    add_memory,
    create_vcpu,
    set_registers,
    run,       // the guest is in its loop, or ended in an unexpected way
    finished,  // the guest made all its turns and halted
  };
  // The last step begun.
  Step step = Step::begin;
  // What stopped it there; 0: it was interrupted, or see exit_reason.
  std::int32_t error_number = 0;
  // KVM_EXIT_*, when the guest ended otherwise than planned.
  std::uint32_t exit_reason = 0;
  std::int32_t api_version = 0;
  // Of the guest.
  std::uint64_t turns = 0;
  // Processor time, so that other load does not count; of the guest's until it ended or was interrupted.
  std::int64_t native_us = 0;
  std::int64_t guest_us = 0;
};

// Guest memory to be handed to run_accelerator_loop: this many bytes, page-aligned, zeroed, shared with the parent.
inline constexpr std::size_t kAcceleratorGuestBytes = 0x10000;

// Runs the loop natively and in a guest, and keeps `report` up to date on the way.
void run_accelerator_loop(const char* device, std::uint8_t* guest_memory, AcceleratorLoopReport& report);

// The turns made so far by the guest in that memory.
std::uint64_t accelerator_turns_made(const std::uint8_t* guest_memory);

}  // namespace gantry::qemu
