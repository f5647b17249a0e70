// What machines tell users in the same words.
#pragma once

#include <string>

#include "control/draft.h"
#include "gantry/v1/meta.pb.h"

namespace gantry::control {

v1::Problem make_problem(std::string code, std::string summary, std::string cause, std::string next_step);
// Of a task or move that failed on a host that gave no reason.
v1::Problem unexplained(std::string summary);

// Its id when it is not known (any more).
std::string name_of_host(const Draft& draft, const std::string& host_id);

}  // namespace gantry::control
