// What the TPMs of guests keep in a `dir` pool: POOL/tpm/<vm_id>, made by the hypervisor and written by swtpm as the
// guest's user.
#pragma once

#include <string>

#include "port/storage.h"

namespace gantry::storage {

// Blocks. Also when there is none.
Result<void> delete_tpm(const port::PoolRequest& pool, const std::string& vm_id);

}  // namespace gantry::storage
