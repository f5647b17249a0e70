// When each lease ends, by a monotonic clock its user reads. Lost with the process: after a restart each lease gets its
// whole time again, since nobody knows how long the process was away.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "port/store.h"

namespace gantry::store {

class LeaseDeadlines {
 public:
  void grant(port::LeaseId lease, Milliseconds ttl_ms, Milliseconds now_ms) {
    leases_[lease] = {ttl_ms, now_ms + ttl_ms};
  }
  // False when there is no such lease.
  bool renew(port::LeaseId lease, Milliseconds now_ms) {
    const auto found = leases_.find(lease);
    if (found == leases_.end()) return false;
    found->second.deadline_ms = now_ms + found->second.ttl_ms;
    return true;
  }
  // Moves the deadline of a lease that could not be ended now.
  void postpone(port::LeaseId lease, Milliseconds deadline_ms) {
    const auto found = leases_.find(lease);
    if (found != leases_.end()) found->second.deadline_ms = deadline_ms;
  }
  void remove(port::LeaseId lease) { leases_.erase(lease); }
  [[nodiscard]] bool has(port::LeaseId lease) const { return leases_.contains(lease); }

  [[nodiscard]] std::vector<port::LeaseId> expired(Milliseconds now_ms) const {
    std::vector<port::LeaseId> ids;
    for (const auto& [id, lease] : leases_) {
      if (lease.deadline_ms <= now_ms) ids.push_back(id);
    }
    return ids;
  }
  // The earliest; none when there are no leases.
  [[nodiscard]] std::optional<Milliseconds> next_ms() const {
    std::optional<Milliseconds> next;
    for (const auto& [id, lease] : leases_) {
      if (!next || lease.deadline_ms < *next) next = lease.deadline_ms;
    }
    return next;
  }

 private:
  struct Lease {
    Milliseconds ttl_ms = 0;
    Milliseconds deadline_ms = 0;
  };
  std::map<port::LeaseId, Lease> leases_;
};

}  // namespace gantry::store
