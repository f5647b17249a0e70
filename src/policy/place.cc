#include "policy/place.h"

#include <algorithm>

#include "policy/cpu_models.h"

namespace gantry::policy {
namespace {

constexpr std::uint64_t kReserveMibMin = 256;
constexpr std::uint64_t kReserveDivisor = 16;
// Of in_short(): so many that fit, and so many in all.
constexpr int kFittingMax = 10;
constexpr int kCandidatesMax = 20;
// Of why_nowhere().
constexpr std::size_t kReasonsMax = 8;
constexpr std::size_t kNamesMax = 3;

std::uint64_t memory_mib(const PlaceHost& host) { return host.record->status().memory_bytes() >> 20U; }

std::uint64_t usable_mib(const PlaceHost& host) {
  return memory_mib(host) - std::min(memory_mib(host), host_reserve_mib(memory_mib(host)));
}

std::uint64_t usable_cpus(const PlaceHost& host) {
  return std::uint64_t{host.record->status().cpus()} * host.cpu_overcommit;
}

std::string mib(std::uint64_t amount) { return std::to_string(amount) + " MiB"; }

// All reasons are told: who cures one is not to find the next behind it.
void add_reason(std::string& reasons, const std::string& reason) {
  // A disk and the image it is made from are in one pool.
  if (reason.empty() || reasons.find(reason) != std::string::npos) return;
  reasons += (reasons.empty() ? "" : "; ") + reason;
}

bool is_bound_elsewhere(const v1::Host& host, const PlaceDemand& demand) {
  return !demand.host_id.empty() && host.meta().id() != demand.host_id;
}

// New guests do not come to a host that is not there, is to go or is cordoned, though those that are there may start.
std::string obstacle(const PlaceHost& host, const PlaceDemand& demand) {
  const v1::Host& record = *host.record;
  std::string reasons;
  if (!is_bound_elsewhere(record, demand)) {
    if (record.status().state() != v1::HostStatus::CONNECTED) add_reason(reasons, "it is not connected");
    if (record.meta().has_deletion()) add_reason(reasons, "it is leaving the cluster");
    if (record.spec().cordoned()) add_reason(reasons, "it is cordoned");
    const auto trouble = demand.trouble.find(record.meta().id());
    if (trouble != demand.trouble.end()) add_reason(reasons, trouble->second);
  }
  add_reason(reasons, start_obstacle(host, demand));
  return reasons;
}

std::string label_obstacle(const v1::Host& host, const PlaceDemand& demand) {
  const Labels& labels = host.meta().labels();
  for (const auto& [key, value] : demand.host_labels) {
    const auto found = labels.find(key);
    if (found != labels.end() && found->second == value) continue;
    std::string wanted = key;
    if (!value.empty()) wanted += "=" + value;
    return "it has no label " + wanted;
  }
  return {};
}

// 0 to 100: hardware virtualization before all, then free memory, free processors, and few guests to fail with it.
double resource_score(const PlaceHost& host, const PlaceDemand& demand) {
  const auto share_left = [](std::uint64_t all, std::uint64_t taken) {
    return all > taken ? static_cast<double>(all - taken) / static_cast<double>(all) : 0.0;
  };
  const double memory_part = share_left(usable_mib(host), host.reserved_mib + demand.memory_mib);
  const double cpu_part = share_left(usable_cpus(host), host.promised_cpus + demand.cpus);
  const double spread_part = 1.0 / (1.0 + host.guests);
  const double accelerator_part = host.record->status().accelerator() == "kvm" ? 1 : 0;
  return 40 * accelerator_part + 35 * memory_part + 15 * cpu_part + 10 * spread_part;
}

// Scores a host that fits. No wealth of resources outweighs a preferred rule.
void weigh(const PlaceHost& host, const PlaceDemand& demand, v1::PlacementCandidate& candidate) {
  double score = resource_score(host, demand);
  std::string reason = mib(usable_mib(host) - host.reserved_mib - demand.memory_mib) + " would be left, " +
                       std::to_string(host.promised_cpus) + " of " + std::to_string(usable_cpus(host)) +
                       " virtual processors are promised to " + std::to_string(host.guests) + " other guests, " +
                       host.record->status().accelerator();
  for (const PlaceRule& rule : demand.rules) {
    if (!rule.record->spec().preferred()) continue;
    const std::string broken = rule_obstacle(rule, *host.record);
    if (broken.empty()) continue;
    score -= 100;
    reason += "; less preferred: " + broken;
  }
  candidate.set_score(score);
  candidate.set_reason(std::move(reason));
}

bool goes_before(const v1::PlacementCandidate& one, const v1::PlacementCandidate& other) {
  if (one.fits() != other.fits()) return one.fits();
  if (one.fits() && one.score() != other.score()) return one.score() > other.score();
  if (one.host_name() != other.host_name()) return one.host_name() < other.host_name();
  return one.host_id() < other.host_id();
}

int count_fitting(const v1::PlacementDecision& decision) {
  return static_cast<int>(std::count_if(decision.candidates().begin(), decision.candidates().end(),
                                        [](const v1::PlacementCandidate& candidate) { return candidate.fits(); }));
}

std::string some_of(const std::vector<std::string>& host_names) {
  std::string text;
  for (std::size_t i = 0; i < std::min(host_names.size(), kNamesMax); ++i) {
    text += (i == 0 ? "" : ", ") + host_names[i];
  }
  return host_names.size() <= kNamesMax ? text
                                        : text + " and " + std::to_string(host_names.size() - kNamesMax) + " more";
}

}  // namespace

std::uint64_t host_reserve_mib(std::uint64_t memory_mib) {
  return std::max(kReserveMibMin, memory_mib / kReserveDivisor);
}

std::string memory_obstacle(const PlaceHost& host, std::uint64_t wanted_mib) {
  const std::uint64_t usable = usable_mib(host);
  const std::uint64_t free = usable - std::min(usable, host.reserved_mib);
  if (wanted_mib <= free) return {};
  return "it has " + mib(free) + " of " + mib(memory_mib(host)) + " left to promise (" +
         mib(host_reserve_mib(memory_mib(host))) + " are kept for the host), " + mib(wanted_mib) + " are asked for";
}

std::string cpu_obstacle(const PlaceHost& host, std::uint32_t cpus) {
  const std::uint64_t usable = usable_cpus(host);
  const std::uint64_t free = usable - std::min(usable, host.promised_cpus);
  if (cpus <= free) return {};
  return "it has " + std::to_string(free) + " virtual processors left to promise (" +
         std::to_string(host.cpu_overcommit) + " for each of its " + std::to_string(host.record->status().cpus()) +
         "), " + std::to_string(cpus) + " are asked for";
}

std::string standing_obstacle(const v1::Host& host, const PlaceDemand& demand) {
  if (is_bound_elsewhere(host, demand)) return "the VM is bound to another host";
  std::string reasons;
  if (host.status().accelerator().empty()) add_reason(reasons, "it cannot run guests");
  for (const PlaceReach& reach : demand.reach) {
    if (!reach.host_ids.contains(host.meta().id())) add_reason(reasons, reach.reason);
  }
  add_reason(reasons, label_obstacle(host, demand));
  add_reason(reasons, cpu_model_obstacle(host, demand.cpu_model));
  if (demand.tpm && host.status().swtpm_version().empty()) add_reason(reasons, "it has no swtpm, which a TPM needs");
  for (const PlaceRule& rule : demand.rules) {
    const v1::RuleSpec& spec = rule.record->spec();
    if (!spec.preferred() && is_about_hosts(spec)) add_reason(reasons, rule_obstacle(rule, host));
  }
  return reasons;
}

std::string start_obstacle(const PlaceHost& host, const PlaceDemand& demand) {
  std::string reasons = standing_obstacle(*host.record, demand);
  if (is_bound_elsewhere(*host.record, demand)) return reasons;
  if (host.record->spec().maintenance()) add_reason(reasons, "it is in maintenance");
  for (const PlaceRule& rule : demand.rules) {
    const v1::RuleSpec& spec = rule.record->spec();
    if (!spec.preferred() && !is_about_hosts(spec)) add_reason(reasons, rule_obstacle(rule, *host.record));
  }
  add_reason(reasons, memory_obstacle(host, demand.memory_mib));
  add_reason(reasons, cpu_obstacle(host, demand.cpus));
  return reasons;
}

v1::PlacementDecision place(std::span<const PlaceHost> hosts, const PlaceDemand& demand) {
  v1::PlacementDecision decision;
  decision.mutable_candidates()->Reserve(static_cast<int>(hosts.size()));
  for (const PlaceHost& host : hosts) {
    v1::PlacementCandidate& candidate = *decision.add_candidates();
    candidate.set_host_id(host.record->meta().id());
    candidate.set_host_name(host.record->meta().name());
    std::string reason = obstacle(host, demand);
    candidate.set_fits(reason.empty());
    if (reason.empty()) {
      weigh(host, demand, candidate);
    } else {
      candidate.set_reason(std::move(reason));
    }
  }
  auto& candidates = *decision.mutable_candidates();
  std::sort(candidates.pointer_begin(), candidates.pointer_end(),
            [](const auto* one, const auto* other) { return goes_before(*one, *other); });
  if (candidates.empty() || !candidates[0].fits()) {
    decision.set_reason(candidates.empty() ? "there is no host" : "no host fits");
    return decision;
  }
  const std::string& best = candidates[0].host_name();
  decision.set_host_id(candidates[0].host_id());
  const int fitting = count_fitting(decision);
  decision.set_reason(fitting == 1 ? best + " is the only host that fits"
                                   : best + " has the best score of " + std::to_string(fitting) + " hosts that fit");
  return decision;
}

std::string why_nowhere(const v1::PlacementDecision& decision) {
  if (decision.candidates().empty()) return "no host has connected yet";
  std::map<std::string, std::vector<std::string>> hosts_by_reason;
  // By reason, in the order of the first host with it.
  std::vector<std::string> reasons;
  for (const v1::PlacementCandidate& candidate : decision.candidates()) {
    auto& host_names = hosts_by_reason[candidate.reason()];
    if (host_names.empty()) reasons.push_back(candidate.reason());
    host_names.push_back(candidate.host_name());
  }
  std::string text;
  for (std::size_t i = 0; i < std::min(reasons.size(), kReasonsMax); ++i) {
    text += (i == 0 ? "" : "; ") + some_of(hosts_by_reason[reasons[i]]) + ": " + reasons[i];
  }
  if (reasons.size() > kReasonsMax) text += "; others for other reasons";
  return text;
}

v1::PlacementDecision in_short(v1::PlacementDecision decision) {
  auto& candidates = *decision.mutable_candidates();
  const int before = candidates.size();
  const int fitting = count_fitting(decision);
  if (before <= kCandidatesMax) return decision;
  if (fitting > kFittingMax) candidates.DeleteSubrange(kFittingMax, fitting - kFittingMax);
  if (candidates.size() > kCandidatesMax) {
    candidates.DeleteSubrange(kCandidatesMax, candidates.size() - kCandidatesMax);
  }
  decision.set_reason(decision.reason() + "; " + std::to_string(before - candidates.size()) +
                      " more hosts were looked at");
  return decision;
}

}  // namespace gantry::policy
