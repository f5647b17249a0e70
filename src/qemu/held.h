// Why QEMU itself holds a guest's processors. Pure.
#pragma once

#include <string>
#include <string_view>

#include "gantry/v1/meta.pb.h"

namespace gantry::qemu {

// `run_state` as query-status tells it (enum RunState in QEMU's qapi/run-state.json), `blocks` what query-block
// answered (empty: not asked). Without a code when QEMU does not hold it; without `since`.
v1::Problem why_held(const std::string& vm_id, std::string_view run_state, std::string_view blocks);

}  // namespace gantry::qemu
