#include "control/placement.h"

namespace gantry::control {

policy::PlaceHost place_host(const View& view, const v1::Host& host) {
  policy::PlaceHost place;
  place.id = host.meta().id();
  place.name = host.meta().name();
  place.connected = host.status().state() == v1::HostStatus::CONNECTED;
  place.cordoned = host.spec().cordoned();
  place.leaving = host.meta().has_deletion();
  place.memory_mib = host.status().memory_bytes() >> 20U;
  place.reserved_mib = view.reserved_mib(place.id);
  place.cpus = host.status().cpus();
  place.guests = view.guests(place.id);
  place.accelerator = host.status().accelerator();
  return place;
}

std::vector<policy::PlaceHost> place_hosts(const View& view) {
  std::vector<policy::PlaceHost> hosts;
  for (const auto& [name, id] : view.all<v1::Host>().id_by_name) {
    if (const auto* host = view.find<v1::Host>(id)) hosts.push_back(place_host(view, *host));
  }
  return hosts;
}

}  // namespace gantry::control
