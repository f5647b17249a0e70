#include "policy/cpu_models.h"

#include <algorithm>
#include <array>

namespace gantry::policy {
namespace {

// Best first: by what their instructions give a guest, newer before older where that is the same. Those that newer
// firmware took features from (-noTSX) stand behind those that have them. Versions ("-v2") are not here: QEMU's name
// without one means the first, on every host.
constexpr std::array kBestFirst = {
    "GraniteRapids",
    "SapphireRapids",
    "EPYC-Turin",
    "EPYC-Genoa",
    "Icelake-Server",
    "Icelake-Server-noTSX",
    "EPYC-Milan",
    "Cooperlake",
    "Cascadelake-Server",
    "Cascadelake-Server-noTSX",
    "Skylake-Server-IBRS",
    "Skylake-Server",
    "Skylake-Server-noTSX-IBRS",
    "EPYC-Rome",
    "EPYC-IBPB",
    "EPYC",
    "Dhyana",
    "Skylake-Client-IBRS",
    "Skylake-Client",
    "Skylake-Client-noTSX-IBRS",
    "Broadwell-IBRS",
    "Broadwell",
    "Broadwell-noTSX-IBRS",
    "Broadwell-noTSX",
    "Haswell-IBRS",
    "Haswell",
    "Haswell-noTSX-IBRS",
    "Haswell-noTSX",
    "Snowridge",
    "Denverton",
    "IvyBridge-IBRS",
    "IvyBridge",
    "SandyBridge-IBRS",
    "SandyBridge",
    "Opteron_G5",
    "Opteron_G4",
    "Westmere-IBRS",
    "Westmere",
    "Nehalem-IBRS",
    "Nehalem",
    "Opteron_G3",
    "Penryn",
    "Conroe",
    "Opteron_G2",
    "Opteron_G1",
    "kvm64",
    "qemu64",
};

}  // namespace

bool has_cpu_model(const v1::Host& host, std::string_view model) {
  const auto& models = host.status().cpu_models();
  return std::find(models.begin(), models.end(), model) != models.end();
}

std::string cpu_model_obstacle(const v1::Host& host, const std::string& model) {
  if (model.empty() || has_cpu_model(host, model)) return {};
  return "its processors cannot be " + model;
}

std::string best_common_cpu_model(std::span<const v1::Host* const> hosts) {
  if (hosts.empty()) return {};
  for (const std::string_view model : kBestFirst) {
    if (std::all_of(hosts.begin(), hosts.end(), [&](const v1::Host* host) { return has_cpu_model(*host, model); })) {
      return std::string(model);
    }
  }
  return {};
}

}  // namespace gantry::policy
