// Which records a host is told of.
#pragma once

#include <string>
#include <vector>

#include "control/draft.h"
#include "gantry/v1/link.pb.h"

namespace gantry::control {

// The host that has to do with a record; empty: none. Of what is in a shared pool its keeper; of that pool itself none.
std::string host_of(const View& view, const v1::Vm& vm);
std::string host_of(const View& view, const v1::Volume& volume);
std::string host_of(const View& view, const v1::Image& image);
std::string host_of(const View& view, const v1::Network& network);
std::string host_of(const View& view, const v1::Pool& pool);

// Of the record of any kind with that id, in a View or a Draft. A network on every host has none (segments.h).
std::string host_of_id(const View& view, const std::string& id);
std::string host_of_id(const Draft& draft, const std::string& id);

// Whether that host is heard of the record: it is its own, or a pool that it shares, or a network that it has as others
// do, or a VM that moves there or left there.
bool may_tell_of(const View& view, const std::string& host_id, const std::string& id);

struct Routed {
  std::string host_id;
  v1::Assignment assignment;
};

// What is to be sent because the record with that id changed, or what others are told of it (reach.h); nothing for
// hosts, tasks, and records without a host. Of what is in a shared pool the keeper is told, and those that only look:
// hosts with VMs that use it, and whoever kept it before. With an open VM comes what it needs of shared pools.
std::vector<Routed> route(const View& view, const std::string& id);

// All of a host's records in the order pools, networks, images, volumes, VMs; or only those that it has not carried out
// yet, with what open VMs need.
std::vector<v1::Assignment> assignments_of(const View& view, const std::string& host_id, bool only_open);

}  // namespace gantry::control
