// Which host a guest should run on. A pure function of compact views: hosts are filtered, then scored, and the answer
// says of each one why.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "gantry/v1/task.pb.h"

namespace gantry::policy {

// Memory of a host that guests never get: for the kernel, the daemons and the hypervisor's own use.
std::uint64_t host_reserve_mib(std::uint64_t memory_mib);

struct PlaceHost {
  std::string id = {};
  std::string name = {};
  bool connected = false;
  bool cordoned = false;
  bool leaving = false;
  std::uint64_t memory_mib = 0;
  // What the guests placed there may use.
  std::uint64_t reserved_mib = 0;
  std::uint32_t cpus = 0;
  std::uint32_t guests = 0;
  // "kvm", "tcg"; empty: it cannot run guests.
  std::string accelerator = {};
};

// Something the guest uses that not every host has.
struct PlaceReach {
  // Why the others do not fit: "pool default is not on it".
  std::string reason = {};
  std::set<std::string> host_ids = {};
};

struct PlaceDemand {
  std::uint32_t cpus = 1;
  std::uint64_t memory_mib = 0;
  // The one host it may run on; empty: any.
  std::string host_id = {};
  std::vector<PlaceReach> reach = {};
};

// Candidates are in the order of `hosts`; of equal scores the first wins. `host_id` is empty when nothing fits.
v1::PlacementDecision place(std::span<const PlaceHost> hosts, const PlaceDemand& demand);

// Whether `memory_mib` more may be promised on that host; the reason otherwise.
std::string memory_obstacle(const PlaceHost& host, std::uint64_t memory_mib);

}  // namespace gantry::policy
