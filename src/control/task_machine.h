// When a task ends, and how. Pure; every accepted task ends by what is seen of its target:
//
// * SUCCEEDED when the effect is seen in the target's status (or a deleted target is gone).
// * FAILED when the status says that this operation could not be done, with that problem.
// * CANCELLED when a later operation on the same target wants something else, or when it was cancelled.
#pragma once

#include "control/draft.h"

namespace gantry::control {

struct TaskVerdict {
  // PENDING: go on waiting; RUNNING: somebody works on it.
  v1::Task::State state = v1::Task::PENDING;
  v1::Problem problem = {};
  v1::Progress progress = {};
};

TaskVerdict judge_task(const Draft& draft, const v1::Task& task, Now now);

}  // namespace gantry::control
