// Which processors QEMU can give guests on this machine.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gantry::qemu {

// QEMU's names, in order, of those that guests can have with all that belongs to them, and that are the same on every
// machine ("host" and "max" are not). Blocks, for a QEMU without a guest: call it on a worker.
Result<std::vector<std::string>> usable_cpu_models(const std::string& program, const std::string& accelerator);

// From what such a QEMU says on its QMP channel. corrupt when there is no list in it.
Result<std::vector<std::string>> cpu_models_in(std::string_view qmp_output);

}  // namespace gantry::qemu
