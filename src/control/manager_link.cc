// What hosts are sent, and what they say.
#include "control/assignments.h"
#include "control/manager_impl.h"
#include "control/observations.h"

namespace gantry::control {
namespace {
constexpr std::uint64_t kResendsForAll = 3;
// More than any host has to say of one thing.
constexpr std::size_t kObservationBytesMax = 32U << 10U;
constexpr std::size_t kHostStatusBytesMax = 16U << 10U;
}  // namespace

bool ManagerCore::Impl::is_known(const std::string& host_id) const {
  return view_.own_hosts.contains(host_id) || view_.find<v1::Host>(host_id) != nullptr;
}

void ManagerCore::Impl::connection_changed(const std::string& host_id, bool connected) {
  if (connected) {
    if (!is_known(host_id)) return;
    note_connected(host_id);
    if (loaded_) send_all(host_id);
  } else if (connected_.erase(host_id) != 0) {
    next_round_.dirty.insert(host_id);
  }
  schedule_round();
}

void ManagerCore::Impl::note_connected(const std::string& host_id) {
  if (connected_.insert(host_id).second) next_round_.dirty.insert(host_id);
}

void ManagerCore::Impl::drop_strangers() {
  for (auto host_id = connected_.begin(); host_id != connected_.end();) {
    if (is_known(*host_id)) {
      ++host_id;
      continue;
    }
    link_.drop(*host_id);
    sequences_.erase(*host_id);
    next_round_.hosts.erase(*host_id);
    host_id = connected_.erase(host_id);
  }
}

// Whatever a host sends, it is heard of what is its own alone.
void ManagerCore::Impl::message_came(const v1::FromHost& message) {
  const std::string& host_id = message.host_id();
  if (!is_known(host_id)) return;
  note_connected(host_id);
  if (message.hello() && loaded_) send_all(host_id);
  const bool facts = message.has_host() && message.host().ByteSizeLong() <= kHostStatusBytesMax;
  if (facts || view_.find<v1::Host>(host_id) == nullptr) {
    HostNews& news = next_round_.hosts[host_id];
    if (news.name.empty() || is_newer(message.mark(), news.mark)) {
      news.name = message.host_name();
      news.mark = message.mark();
      if (facts) news.status = message.host();
    }
  }
  for (const v1::Observation& observation : message.observations()) {
    take_observation(host_id, message.mark(), observation);
  }
  schedule_round();
}

void ManagerCore::Impl::take_observation(const std::string& host_id, const v1::ObservationMark& mark,
                                         const v1::Observation& observation) {
  if (observation.ByteSizeLong() > kObservationBytesMax) return;
#ifndef GANTRY_BREAK_HEAR_ANYONE
  // Before any mark is kept: a forged one would have the rightful host's news taken for old.
  if (loaded_ && !may_observe(view_, host_id, observation.id())) return;
#endif
  const std::string key = observation.id() + " " + host_id;
  v1::ObservationMark& newest = newest_[key];
  if (!is_newer(mark, newest)) return;
  newest = mark;
  next_round_.observations[key] = {host_id, mark, observation};
}

void ManagerCore::Impl::send_all(const std::string& host_id) {
  send(host_id, assignments_of(view_, host_id, false), true);
}

void ManagerCore::Impl::send_changed(const View::Ids& touched) {
  std::map<std::string, std::vector<v1::Assignment>> by_host;
  for (const std::string& id : touched) {
    for (Routed& routed : route(view_, id)) by_host[routed.host_id].push_back(std::move(routed.assignment));
  }
  for (auto& [host_id, assignments] : by_host) send(host_id, std::move(assignments), false);
}

void ManagerCore::Impl::resend() {
  if (!loaded_) return;
  // The watch should have brought that long ago.
  if (view_.revision() < std::max(calls_wait_for_, round_waits_for_)) load();
  // Now and then all of them: a message that came late may have made the host forget what is settled.
  const bool all = ++resends_ % kResendsForAll == 0;
  for (const std::string& host_id : connected_) {
    if (all) {
      send_all(host_id);
      continue;
    }
    auto open = assignments_of(view_, host_id, true);
    if (!open.empty()) send(host_id, std::move(open), false);
  }
  // Marks of records that are gone are of no use any more.
  for (auto mark = newest_.begin(); mark != newest_.end();) {
    const bool waits = next_round_.observations.count(mark->first) != 0;
    mark = waits || view_.has(mark->first.substr(0, mark->first.find(' '))) ? std::next(mark) : newest_.erase(mark);
  }
}

void ManagerCore::Impl::send(const std::string& host_id, std::vector<v1::Assignment> assignments, bool complete) {
  if (connected_.count(host_id) == 0) return;
  v1::ToHost message;
  message.set_sequence(++sequences_[host_id]);
  message.set_complete(complete);
  for (v1::Assignment& assignment : assignments) *message.add_assignments() = std::move(assignment);
  link_.send(host_id, message);
}

}  // namespace gantry::control
