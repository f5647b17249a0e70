#include "control/wording.h"

#include <utility>

namespace gantry::control {

v1::Problem make_problem(std::string code, std::string summary, std::string cause, std::string next_step) {
  v1::Problem problem;
  problem.set_code(std::move(code));
  problem.set_summary(std::move(summary));
  problem.set_cause(std::move(cause));
  problem.set_next_step(std::move(next_step));
  return problem;
}

v1::Problem unexplained(std::string summary) {
  return make_problem("failed", std::move(summary), "the host did not say why", "see the log of gantryd on the host");
}

std::string name_of_host(const Draft& draft, const std::string& host_id) {
  const auto* host = draft.find<v1::Host>(host_id);
  return host == nullptr ? host_id : host->meta().name();
}

}  // namespace gantry::control
