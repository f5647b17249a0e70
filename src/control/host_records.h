// How the records of hosts come and go, with the pool and the network that each host has of its own.
#pragma once

#include <string>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "control/draft.h"
#include "model/ipv4.h"

namespace gantry::control {

// A token machines join with ends so long after it was made.
inline constexpr Milliseconds kHostTokenMs = 3'600'000;
bool has_ended(const v1::HostToken& token, Now now);

struct NewHost {
  std::string id;
  // Any text: a name is made of it that no other host has.
  std::string name;
  // The directory of its first pool.
  std::string pool_path;
  // Segments it is in already.
  std::vector<model::Ipv4Subnet> taken_subnets = {};
};

// The record of the manager's own machine, which speaks for the first time. For the first host of all also the pool and
// the network "default", that things use when none is named.
void make_own_host(Draft& draft, const NewHost& host, Now now, Rng& rng);

struct JoinedHost {
  const v1::Host& record;
  // False when no IPv4 segment was left.
  bool has_network = false;
};

// The record of a machine that joins, with a pool and a network of its own: "default-NAME". It is not connected yet.
JoinedHost make_joined_host(Draft& draft, const NewHost& host, Now now, Rng& rng);

// A host that is to leave gives up what it has within that time, or is not waited for any more: else one that is
// hostile or hangs could stay.
inline constexpr Milliseconds kLeavingMs = 60'000;

// It is being deleted, or goes with the VM it belongs to.
template <class Record>
bool is_going(const Draft&, const Record& record) {
  return record.meta().has_deletion();
}
bool is_going(const Draft& draft, const v1::Volume& volume);

// No record of a volume or an image in it is left.
bool is_empty_pool(Draft& draft, const std::string& pool_id);

// Of a host that leaves: takes its record away once nothing of it is left; with `lost` also all that is going there.
// Shared pools go on without it.
void finish_leaving(Draft& draft, const std::string& host_id, bool lost, Now now);

}  // namespace gantry::control
