// Whether labels that are asked for are those that are there.
#pragma once

#include "policy/rule.h"

namespace gantry::control {

inline bool same_labels(const policy::Labels& one, const policy::Labels& other) {
  return one.size() == other.size() && policy::has_labels(one, other);
}

}  // namespace gantry::control
