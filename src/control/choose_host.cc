#include "control/choose_host.h"

namespace gantry::control {

Result<const v1::Host*> choose_host(const Change& change, const std::string& name_or_id) {
  if (!name_or_id.empty()) return change.find<v1::Host>(name_or_id);
  const auto usable = [](const v1::Host* host) {
    return host != nullptr && host->status().state() == v1::HostStatus::CONNECTED && !host->meta().has_deletion();
  };
  for (const std::string& id : change.view().own_hosts) {
    if (const auto* host = change.view().find<v1::Host>(id)) return host;
  }
  for (const auto& [name, id] : change.view().all<v1::Host>().id_by_name) {
    if (const auto* host = change.view().find<v1::Host>(id); usable(host)) return host;
  }
  return fail(ErrorCode::conflict, "there is no host to put \"" + change.task.target_name() + "\" on",
              "no host is connected", "see \"gantry host list\"", "no_host");
}

}  // namespace gantry::control
