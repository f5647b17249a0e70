#include "app/daemon/overlay_address.h"

#include <sys/socket.h>

#include <algorithm>

#include "model/bridge_name.h"
#include "model/join_token.h"

namespace gantry::app {

std::string choose_overlay_address(const std::vector<std::string>& named,
                                   const std::vector<runtime::MachineAddress>& here, const std::string& outgoing) {
  const auto is_here = [&here](const std::string& address) {
    return std::any_of(here.begin(), here.end(),
                       [&](const auto& one) { return one.family == AF_INET && one.text == address; });
  };
  for (const std::string& one : named) {
    const auto with_port = model::parse_link_address(one);
    const std::string address = with_port ? with_port->host : one;
    if (is_here(address)) return address;
  }
  if (is_here(outgoing)) return outgoing;
  // Not of a network of this machine's guests.
  const auto serves = std::find_if(here.begin(), here.end(), [](const auto& one) {
    return one.family == AF_INET && one.up && one.interface.rfind(model::kBridgePrefix, 0) != 0;
  });
  return serves == here.end() ? std::string() : serves->text;
}

}  // namespace gantry::app
