// What a rule that is made or changed means for the VMs there are.
#pragma once

#include <string>
#include <vector>

#include "control/view.h"

namespace gantry::control {

// A conflict when the rule is required and a VM could be nowhere by it and the other required rules together.
Result<void> check_possible(const View& view, const v1::Rule& rule);

// Who breaks it where they run now, in sentences; the last says how many more there are, when there are many.
std::vector<std::string> broken_now(const View& view, const v1::Rule& rule);

}  // namespace gantry::control
