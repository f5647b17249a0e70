// Which host a guest should run on. A pure function of compact views: hosts are filtered, then scored, and the answer
// says of each one why.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "gantry/v1/host.pb.h"
#include "gantry/v1/task.pb.h"
#include "policy/rule.h"

namespace gantry::policy {

// Memory of a host that guests never get: for the kernel, the daemons and the hypervisor's own use.
std::uint64_t host_reserve_mib(std::uint64_t memory_mib);

// Memory is never promised twice; processors are, so many virtual ones for each of a host's, as most of them idle.
inline constexpr std::uint32_t kCpuOvercommit = 16;

struct PlaceHost {
  // Must outlive it.
  const v1::Host* record = nullptr;
  // What the guests placed there may use, without the one that is placed.
  std::uint64_t reserved_mib = 0;
  std::uint64_t promised_cpus = 0;
  std::uint32_t guests = 0;
  std::uint32_t cpu_overcommit = kCpuOvercommit;
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
  // Why a host, by id, cannot be chosen now, though it could be another time.
  std::map<std::string, std::string> trouble = {};
  // Empty: it takes what it gets.
  std::string cpu_model = {};
  bool tpm = false;
  std::map<std::string, std::string> host_labels = {};
  std::vector<PlaceRule> rules = {};
};

// Candidates that fit come first, the best first, then the others by name: the order of `hosts` makes no difference.
// `host_id` is empty when nothing fits.
v1::PlacementDecision place(std::span<const PlaceHost> hosts, const PlaceDemand& demand);

// Why the guest could never run there as things are made, whatever else does: empty when it could.
std::string standing_obstacle(const v1::Host& host, const PlaceDemand& demand);
// Why it cannot be started there now, should it be there already; place() asks for more.
std::string start_obstacle(const PlaceHost& host, const PlaceDemand& demand);
// Whether so much more may be promised on that host; the reason otherwise.
std::string memory_obstacle(const PlaceHost& host, std::uint64_t memory_mib);
std::string cpu_obstacle(const PlaceHost& host, std::uint32_t cpus);

// Why nothing fits, in a sentence: hosts with the same reason together.
std::string why_nowhere(const v1::PlacementDecision& decision);
// The same with no more than some twenty candidates: for the records of clusters of any size.
v1::PlacementDecision in_short(v1::PlacementDecision decision);

}  // namespace gantry::policy
