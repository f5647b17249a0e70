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

// Who breaks a rule where they run now by labels that a VM or a host is about to get, and did not before.
std::vector<std::string> broken_by_labels(const View& view, const v1::Vm& labelled);
std::vector<std::string> broken_by_labels(const View& view, const v1::Host& labelled);

}  // namespace gantry::control
