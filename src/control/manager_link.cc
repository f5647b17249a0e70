// What hosts are sent, and what they say.
#include <algorithm>
#include <utility>
#include <vector>

#include "control/assignments.h"
#include "control/host_address.h"
#include "control/manager_impl.h"
#include "control/observations.h"

namespace gantry::control {
namespace {
constexpr std::uint64_t kResendsForAll = 3;
constexpr Milliseconds kReachedEveryMs = 250;
// More than any host has to say of one thing.
constexpr std::size_t kObservationBytesMax = 32U << 10U;
constexpr std::size_t kHostStatusBytesMax = 16U << 10U;
constexpr std::size_t kSampleBytesMax = 1U << 10U;
// An exabyte, and less than a whole number of 64 bits holds.
constexpr double kMeasuredMax = 1e18;
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
    resends_.erase(host_id);
    next_round_.dirty.insert(host_id);
  }
  schedule_round();
}

void ManagerCore::Impl::note_connected(const std::string& host_id) {
  if (!connected_.insert(host_id).second) return;
  // Of many that come at once not all are sent everything in the same turn.
  resends_[host_id] = {.last_ms = executor_.now().monotonic_ms, .count = resends_.size()};
  next_round_.dirty.insert(host_id);
}

void ManagerCore::Impl::drop_strangers(const View::Ids& host_ids) {
  for (const std::string& host_id : host_ids) {
    if (is_known(host_id) || connected_.erase(host_id) == 0) continue;
    link_.drop(host_id);
    resends_.erase(host_id);
    sequences_.erase(host_id);
    next_round_.hosts.erase(host_id);
  }
}

// Whatever a host sends, it is heard of what is its own alone.
void ManagerCore::Impl::message_came(const v1::FromHost& message) {
  const std::string& host_id = message.host_id();
  if (!is_known(host_id)) return;
  note_connected(host_id);
  if (message.hello() && loaded_) send_all(host_id);
  take_status(message);
  for (const v1::Observation& observation : message.observations()) {
    take_observation(host_id, message.mark(), observation);
  }
  for (const v1::Sample& sample : message.samples()) take_sample(host_id, sample);
  schedule_round();
}

// What anything measured can be: whoever hosts a guest may say what it likes.
bool is_measured(const google::protobuf::Message& values) {
  const google::protobuf::Reflection& reflection = *values.GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> told;
  reflection.ListFields(values, &told);
  return std::all_of(told.begin(), told.end(), [&](const auto* field) {
    const double value = reflection.GetDouble(values, field);
    // False for NaN.
    return value >= 0 && value <= kMeasuredMax;
  });
}

// A host tells of itself, and of guests while they are its own.
void ManagerCore::Impl::take_sample(const std::string& host_id, const v1::Sample& sample) {
  if (options_.samples == nullptr || !loaded_ || sample.ByteSizeLong() > kSampleBytesMax) return;
  const auto* vm = view_.find<v1::Vm>(sample.id());
  const bool own_vm = sample.has_vm() && vm != nullptr && vm->placement().host_id() == host_id;
  const bool itself = sample.has_host() && sample.id() == host_id && view_.find<v1::Host>(host_id) != nullptr;
  if (!own_vm && !itself) return;
  if (own_vm ? is_measured(sample.vm()) : is_measured(sample.host())) options_.samples->take(sample);
}

void ManagerCore::Impl::take_status(const v1::FromHost& message) {
  const std::string& host_id = message.host_id();
  const bool facts = message.has_host() && message.host().ByteSizeLong() <= kHostStatusBytesMax;
  if (!facts && view_.find<v1::Host>(host_id) != nullptr) return;
  if (facts && !is_worth_a_round(message)) return;
  HostNews& news = next_round_.hosts[host_id];
  if (!news.name.empty() && !is_newer(message.mark(), news.mark)) return;
  news.name = message.host_name();
  news.mark = message.mark();
  if (facts) news.status = message.host();
}

const ManagerCore::Impl::Round* ManagerCore::Impl::unsettled_round() const {
  return round_under_way_ || view_.revision() < round_waits_for_ ? last_round_.get() : nullptr;
}

bool ManagerCore::Impl::is_worth_a_round(const v1::FromHost& message) const {
  const std::string& host_id = message.host_id();
  const auto* host = view_.find<v1::Host>(host_id);
  if (!loaded_ || host == nullptr || host->status().state() != v1::HostStatus::CONNECTED) return true;
  const Round* unsettled = unsettled_round();
  if (next_round_.hosts.contains(host_id) || (unsettled != nullptr && unsettled->hosts.contains(host_id))) return true;
  v1::Host next = *host;
  observe_host(next, with_usable_address(Draft(view_), host_id, message.host()), message.mark(), executor_.now());
  return is_open(view_, host_id) || to_bytes(next.status()) != to_bytes(host->status());
}

bool ManagerCore::Impl::is_worth_a_round(const std::string& key, const ObservationNews& news) const {
  // What comes after one that waits, or may come again, must not be forgotten before it.
  const Round* unsettled = unsettled_round();
  const bool follows =
      next_round_.observations.contains(key) || (unsettled != nullptr && unsettled->observations.contains(key));
  if (!loaded_ || follows || is_open(view_, news.observation.id())) return true;
  Draft draft(view_);
  observe(draft, news.host_id, news.mark, news.observation);
  return draft.touches() != 0;
}

void ManagerCore::Impl::take_observation(const std::string& host_id, const v1::ObservationMark& mark,
                                         const v1::Observation& observation) {
  if (observation.ByteSizeLong() > kObservationBytesMax) return;
#ifndef GANTRY_BREAK_HEAR_ANYONE
  // Before any mark is kept: a forged one would have the rightful host's news taken for old.
  if (loaded_ && !may_tell_of(view_, host_id, observation.id())) return;
#endif
  // Of what several hosts have, each has something to say.
  const std::string key = observation.id() + " " + host_id;
  Newest& newest = newest_[key];
  if (!newest.id.empty() && !is_newer(mark, newest.mark)) return;
  newest = {observation.id(), mark};
  ObservationNews news{host_id, mark, observation};
  if (is_worth_a_round(key, news)) next_round_.observations[key] = std::move(news);
}

void ManagerCore::Impl::send_all(const std::string& host_id) {
  send(host_id, assignments_of(view_, host_id, false), true);
}

void ManagerCore::Impl::send_changed(const View::Ids& ids) {
  std::map<std::string, std::vector<v1::Assignment>> by_host;
  for (const std::string& id : ids) {
#ifdef GANTRY_BREAK_TELL_EVERYONE
    // A defect for the simulator to catch: all hosts are told what concerns one.
    for (const std::string& host_id : connected_) {
      for (const Routed& routed : route(view_, id)) by_host[host_id].push_back(routed.assignment);
    }
    continue;
#endif
    for (Routed& routed : route(view_, id)) by_host[routed.host_id].push_back(std::move(routed.assignment));
  }
  for (auto& [host_id, assignments] : by_host) send(host_id, std::move(assignments), false);
}

void ManagerCore::Impl::send_reached(const View::Ids& ids) {
  reached_.insert(ids.begin(), ids.end());
  if (reached_.empty() || reached_scheduled_) return;
  const Milliseconds now_ms = executor_.now().monotonic_ms;
  const Milliseconds wait_ms = reached_sent_ms_ + kReachedEveryMs - now_ms;
  if (reached_sent_ms_ == 0 || wait_ms <= 0) {
    reached_sent_ms_ = now_ms;
    return send_changed(std::exchange(reached_, {}));
  }
  reached_scheduled_ = true;
  later(wait_ms, [](Impl& self) {
    self.reached_scheduled_ = false;
    self.send_reached({});
  });
}

// To each host in its turn, so that nobody waits while all of them are sent everything.
void ManagerCore::Impl::resend_some() {
  if (!loaded_) return;
  const Milliseconds now_ms = executor_.now().monotonic_ms;
  auto next = resends_.upper_bound(last_resent_);
  std::size_t turns = resends_.size() / kResendParts + 1;
  for (std::size_t looked = 0; looked < resends_.size() && turns > 0; ++looked) {
    if (next == resends_.end()) next = resends_.begin();
    if (now_ms - next->second.last_ms >= options_.resend_ms) {
      --turns;
      next->second.last_ms = now_ms;
      last_resent_ = next->first;
      resend(next->first);
    }
    ++next;
  }
}

void ManagerCore::Impl::resend(const std::string& host_id) {
  // Now and then all of it: a message that came late may have made the host forget what is settled.
  if (++resends_[host_id].count % kResendsForAll == 0) return send_all(host_id);
  auto open = assignments_of(view_, host_id, true);
  if (!open.empty()) send(host_id, std::move(open), false);
}

// Those of records that are gone are of no use any more.
void ManagerCore::Impl::forget_marks() {
  std::erase_if(newest_, [this](const auto& mark) {
    return !next_round_.observations.contains(mark.first) && !view_.has(mark.second.id);
  });
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
