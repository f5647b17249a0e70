#include "policy/place.h"

#include <algorithm>

namespace gantry::policy {
namespace {

constexpr std::uint64_t kReserveMibMin = 256;
constexpr std::uint64_t kReserveDivisor = 16;

std::uint64_t usable_mib(const PlaceHost& host) {
  return host.memory_mib - std::min(host.memory_mib, host_reserve_mib(host.memory_mib));
}

std::string mib(std::uint64_t amount) { return std::to_string(amount) + " MiB"; }

// Empty when the host fits.
std::string obstacle(const PlaceHost& host, const PlaceDemand& demand) {
  if (!demand.host_id.empty() && host.id != demand.host_id) return "the VM is bound to another host";
  if (!host.connected) return "it is not connected";
  if (host.leaving) return "it is leaving the cluster";
  if (host.cordoned) return "it is cordoned";
  if (host.accelerator.empty()) return "it cannot run guests";
  for (const PlaceReach& reach : demand.reach) {
    if (!reach.host_ids.contains(host.id)) return reach.reason;
  }
  return memory_obstacle(host, demand.memory_mib);
}

// Free memory first, then processors, and hardware virtualization before all: 0 to 100.
double score(const PlaceHost& host, const PlaceDemand& demand) {
  const auto usable = static_cast<double>(usable_mib(host));
  const auto left = static_cast<double>(usable_mib(host) - host.reserved_mib - demand.memory_mib);
  const double memory_part = usable > 0 ? left / usable : 0;
  const double cpu_part =
      host.cpus >= demand.cpus ? 1.0 / (1.0 + host.guests / std::max(1.0, static_cast<double>(host.cpus))) : 0;
  const double accelerator_part = host.accelerator == "kvm" ? 1 : 0;
  return 40 * memory_part + 20 * cpu_part + 40 * accelerator_part;
}

}  // namespace

std::uint64_t host_reserve_mib(std::uint64_t memory_mib) {
  return std::max(kReserveMibMin, memory_mib / kReserveDivisor);
}

std::string memory_obstacle(const PlaceHost& host, std::uint64_t memory_mib) {
  const std::uint64_t usable = usable_mib(host);
  const std::uint64_t free = usable - std::min(usable, host.reserved_mib);
  if (memory_mib <= free) return {};
  return "it has " + mib(free) + " of " + mib(host.memory_mib) + " left to promise (" +
         mib(host_reserve_mib(host.memory_mib)) + " are kept for the host), " + mib(memory_mib) + " are asked for";
}

v1::PlacementDecision place(std::span<const PlaceHost> hosts, const PlaceDemand& demand) {
  v1::PlacementDecision decision;
  const PlaceHost* best = nullptr;
  double best_score = -1;
  for (const PlaceHost& host : hosts) {
    v1::PlacementCandidate& candidate = *decision.add_candidates();
    candidate.set_host_id(host.id);
    candidate.set_host_name(host.name);
    std::string reason = obstacle(host, demand);
    candidate.set_fits(reason.empty());
    if (reason.empty()) {
      candidate.set_score(score(host, demand));
      const std::uint64_t left = usable_mib(host) - host.reserved_mib - demand.memory_mib;
      reason = mib(left) + " would be left, " + std::to_string(host.cpus) + " processors for " +
               std::to_string(host.guests) + " other guests, " + host.accelerator;
      if (candidate.score() > best_score) {
        best = &host;
        best_score = candidate.score();
      }
    }
    candidate.set_reason(std::move(reason));
  }
  if (best == nullptr) {
    decision.set_reason(hosts.empty() ? "there is no host" : "no host fits");
    return decision;
  }
  decision.set_host_id(best->id);
  const bool only = std::count_if(decision.candidates().begin(), decision.candidates().end(),
                                  [](const v1::PlacementCandidate& candidate) { return candidate.fits(); }) == 1;
  decision.set_reason(only ? best->name + " is the only host that fits" : best->name + " has the best score");
  return decision;
}

}  // namespace gantry::policy
