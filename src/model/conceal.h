// What hosts must know and users must not: for whoever shows records.
#pragma once

#include "gantry/v1/vm.pb.h"

namespace gantry::model {

// The secret by which the two ends of a move know each other.
inline void conceal(v1::Vm& vm) {
  if (!vm.placement().move().target().has_address()) return;
  vm.mutable_placement()->mutable_move()->mutable_target()->mutable_address()->clear_secret();
}

}  // namespace gantry::model
