// KVM or TCG? That /dev/kvm is there proves nothing: some kernels open it and then emulate an ordinary guest
// instruction by instruction, a thousand times slower than a processor and much slower than TCG. So a tiny guest in
// long mode is run through the KVM calls themselves, and what counts is whether it runs at a processor's speed.
#pragma once

#include <cstdint>
#include <string>

#include "base/time.h"
#include "qemu/accelerator_loop.h"

namespace gantry::qemu {

struct AcceleratorChoice {
  std::string accelerator;  // "kvm" or "tcg", as QEMU's -accel takes it
  std::string reason;       // a sentence for people
};

struct AcceleratorProbeOptions {
  std::string device = "/dev/kvm";
  // The probe takes this long at most and a little; far less where KVM works or is missing.
  Milliseconds deadline_ms = 1'200;
};

// Blocks: call it on a worker. Never fails and never hangs: whatever is wrong with KVM is a reason for TCG.
AcceleratorChoice probe_accelerator(const AcceleratorProbeOptions& options = {});

// The decision alone, from what the probe saw.
AcceleratorChoice choose_accelerator(const AcceleratorLoopReport& report, const std::string& device);

}  // namespace gantry::qemu
