// What hosts must know and users must not: for whoever shows records.
#pragma once

#include "gantry/v1/storage.pb.h"
#include "gantry/v1/vm.pb.h"

namespace gantry::model {

// The secret by which the two ends of a move know each other.
inline void conceal(v1::Vm& vm) {
  if (!vm.placement().move().target().has_address()) return;
  vm.mutable_placement()->mutable_move()->mutable_target()->mutable_address()->clear_secret();
}

// The key by which hosts and guests reach a pool of Ceph.
inline void conceal(v1::Pool& pool) {
  if (pool.spec().has_rbd()) pool.mutable_spec()->mutable_rbd()->clear_key();
}

}  // namespace gantry::model
