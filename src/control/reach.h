// What the assignments of other records say of a record: an overlay's of the NICs in it, a VM's of the members of
// groups. When that changes, those have to be sent again.
#pragma once

#include <string>

#include "control/view.h"

namespace gantry::control {

// Two states of one record with the same are the same to all others.
std::string reach_of(const v1::Vm& vm);
std::string reach_of(const v1::Host& host);
std::string reach_of(const v1::SecurityGroup& group);
template <class Record>
std::string reach_of(const Record&) {
  return {};
}

// Adds the ids of those others.
void touch_reach(const View& view, const v1::Vm& vm, View::Ids& touched);
void touch_reach(const View& view, const v1::Host& host, View::Ids& touched);
void touch_reach(const View& view, const v1::SecurityGroup& group, View::Ids& touched);
template <class Record>
void touch_reach(const View&, const Record&, View::Ids&) {}

}  // namespace gantry::control
