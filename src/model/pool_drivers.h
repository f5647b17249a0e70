// What the drivers of pools differ in.
#pragma once

#include "gantry/v1/storage.pb.h"

namespace gantry::model {

// Its disks are images of Ceph, not files in a directory.
inline bool is_in_ceph(const v1::PoolSpec& pool) { return pool.driver() == v1::PoolSpec::RBD; }

}  // namespace gantry::model
