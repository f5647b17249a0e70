#include "storage/tpms.h"

#include "storage/file_ops.h"
#include "storage/paths.h"
#include "storage/pools.h"

namespace gantry::storage {

Result<void> delete_tpm(const port::PoolRequest& pool, const std::string& vm_id) {
  if (auto id = check_id(vm_id, "vm"); !id) return id;
  if (auto there = require_pool(pool); !there) return there;
  return remove_path(port::tpm_directory(pool.path, vm_id));
}

}  // namespace gantry::storage
