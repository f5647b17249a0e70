// The view as policy/place.h wants it.
#pragma once

#include <string>
#include <vector>

#include "control/view.h"
#include "policy/place.h"

namespace gantry::control {

policy::PlaceHost place_host(const View& view, const v1::Host& host);
// By name.
std::vector<policy::PlaceHost> place_hosts(const View& view);

}  // namespace gantry::control
