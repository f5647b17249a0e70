#include "qemu/cpu_models.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "runtime/process.h"

namespace gantry::qemu {
namespace {

using Json = nlohmann::json;

constexpr Milliseconds kTimeout_ms = 10'000;

bool is_usable(const Json& definition) {
  if (!definition.is_object() || !definition.contains("name") || !definition["name"].is_string()) return false;
  const auto missing = definition.find("unavailable-features");
  const auto same_everywhere = definition.find("migration-safe");
  return missing != definition.end() && missing->is_array() && missing->empty() &&
         same_everywhere != definition.end() && *same_everywhere == true;
}

}  // namespace

Result<std::vector<std::string>> usable_cpu_models(const std::string& program, const std::string& accelerator) {
  const auto output = runtime::run_process({.argv = {program, "-machine", "none", "-accel", accelerator, "-nodefaults",
                                                     "-no-user-config", "-display", "none", "-S", "-qmp", "stdio"},
                                            .input = "{\"execute\":\"qmp_capabilities\"}\n"
                                                     "{\"execute\":\"query-cpu-definitions\"}\n"
                                                     "{\"execute\":\"quit\"}\n",
                                            .timeout_ms = kTimeout_ms});
  if (!output) return fail(output.error());
  return cpu_models_in(output->out);
}

Result<std::vector<std::string>> cpu_models_in(std::string_view qmp_output) {
  while (!qmp_output.empty()) {
    const std::string_view line = qmp_output.substr(0, qmp_output.find('\n'));
    qmp_output.remove_prefix(std::min(line.size() + 1, qmp_output.size()));
    const Json answer = Json::parse(line.begin(), line.end(), nullptr, false);
    if (!answer.is_object() || !answer.contains("return") || !answer["return"].is_array()) continue;
    std::vector<std::string> names;
    for (const Json& definition : answer["return"]) {
      if (is_usable(definition)) names.push_back(definition["name"].get<std::string>());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  return fail(ErrorCode::corrupt, "QEMU does not tell its processors", "its answer has no list of them");
}

}  // namespace gantry::qemu
