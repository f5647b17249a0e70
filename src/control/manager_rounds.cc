// Rounds: what hosts said and what changed is taken together, the machines run over it, and one transaction says what
// follows. When nothing follows nothing is written.
#include <iterator>

#include "control/host_address.h"
#include "control/host_records.h"
#include "control/machines.h"
#include "control/manager_impl.h"
#include "control/observations.h"

namespace gantry::control {
namespace {

constexpr std::size_t kHostsInRound = 20;
constexpr std::size_t kObservationsInRound = 100;
constexpr std::size_t kDirtyInRound = 200;
constexpr Milliseconds kFirstDelayMs = 50;
constexpr Milliseconds kLastDelayMs = 2'000;
constexpr Milliseconds kLookAgainMs = 1'000;

// etcd takes 128 writes, 128 compares and 1.5 MiB in one transaction unless told otherwise.
constexpr std::size_t kWritesInTxn = 120;
constexpr std::size_t kBytesInTxn = 1U << 20U;

bool fits(const port::Txn& txn) {
  std::size_t bytes = 0;
  for (const port::Compare& compare : txn.compares) bytes += compare.key.size();
  for (const port::Write& write : txn.writes) bytes += write.key.size() + write.value.size();
  return txn.writes.size() <= kWritesInTxn && txn.compares.size() <= kWritesInTxn && bytes <= kBytesInTxn;
}

const std::string& key_of(const std::string& id) { return id; }
template <class Value>
const std::string& key_of(const std::pair<const std::string, Value>& entry) {
  return entry.first;
}

// Moves up to `count` from one ordered container to another: from the first behind `last`, and around, so that whoever
// always has news of what comes first keeps nobody waiting.
template <class Container>
void move_some(Container& from, Container& to, std::size_t count, std::string& last) {
  auto next = from.upper_bound(last);
  for (; !from.empty() && count > 0; --count) {
    if (next == from.end()) next = from.begin();
    last = key_of(*next);
    to.insert(from.extract(next++));
  }
}

template <class Container>
void move_last(Container& from, Container& to, std::size_t count) {
  while (!from.empty() && count-- > 0) to.insert(from.extract(std::prev(from.end())));
}

}  // namespace

void ManagerCore::Impl::schedule_round() {
  const bool nothing =
      next_round_.dirty.empty() && next_round_.observations.empty() && next_round_.hosts.empty() && !next_round_.prune;
  if (nothing || !loaded_ || round_scheduled_ || round_under_way_ || view_.revision() < round_waits_for_) return;
  round_scheduled_ = true;
  // Later, so that everything that came together is taken together.
  later(round_delay_ms_, [](Impl& self) {
    self.round_scheduled_ = false;
    self.run_round();
  });
}

void ManagerCore::Impl::run_round() {
  if (!loaded_ || round_under_way_ || view_.revision() < round_waits_for_) return;
  auto round = std::make_shared<Round>();
  round->prune = std::exchange(next_round_.prune, false);
  move_some(next_round_.hosts, round->hosts, kHostsInRound, last_host_);
  move_some(next_round_.observations, round->observations, kObservationsInRound, last_observed_);
  move_some(next_round_.dirty, round->dirty, kDirtyInRound, last_dirty_);
  round->planned_at = view_.revision();
  const auto progress_written = progress_written_ms_;
  const auto evacuees = evacuees_;
  auto txn = std::make_shared<const port::Txn>(plan_round(*round));
  while (!fits(*txn) && put_off_half(*round)) {
    progress_written_ms_ = progress_written;
    evacuees_ = evacuees;
    txn = std::make_shared<const port::Txn>(plan_round(*round));
  }
  next_round_.dirty.insert(round->put_off.begin(), round->put_off.end());
  if (txn->writes.empty()) {
    schedule_round();
    return;
  }
  round_under_way_ = true;
  last_round_ = round;
  commit_surely(txn, false,
                [round](Impl& self, const port::CommitResult& result, bool) { self.round_committed(round, result); });
}

port::Txn ManagerCore::Impl::plan_round(Round& round) {
  Draft draft(view_);
  const Now now = executor_.now();
  std::set<std::string> dirty = round.dirty;
  for (const auto& [host_id, news] : round.hosts) {
    if (draft.find<v1::Host>(host_id) == nullptr) {
      // Of another machine it is gone meanwhile.
      if (!view_.own_hosts.contains(host_id)) continue;
      make_own_host(draft, {.id = host_id, .name = news.name, .pool_path = options_.default_pool_path}, now, rng_);
    }
    if (news.status) {
      const auto said = with_usable_address(draft, host_id, *news.status);
      observe_host(draft.edit<v1::Host>(host_id), said, news.mark, now);
    }
    dirty.insert(host_id);
  }
  for (const auto& [key, news] : round.observations) {
    observe(draft, news.host_id, news.mark, news.observation);
    dirty.insert(news.observation.id());
  }
  std::set<std::string> look_again;
  round.put_off.clear();
  MachineContext context{.draft = draft,
                         .now = now,
                         .rng = rng_,
                         .connected = connected_,
                         .may_lose_hosts = may_lose_hosts_,
                         .progress_written_ms = progress_written_ms_,
                         .evacuees = evacuees_,
                         .look_again = look_again,
                         .put_off = round.put_off};
  run_machines(context, dirty);
  if (!look_again.empty()) {
    later(kLookAgainMs, [look_again](Impl& self) {
      self.next_round_.dirty.insert(look_again.begin(), look_again.end());
      self.schedule_round();
    });
  }
  if (round.prune) prune(draft, options_.ended_tasks_max, options_.idempotency_keys_max, now);
  return draft.build();
}

void ManagerCore::Impl::round_committed(const std::shared_ptr<Round>& round, const port::CommitResult& result) {
  round_under_way_ = false;
  if (result.outcome == port::CommitOutcome::committed) {
    round_delay_ms_ = 0;
    round_waits_for_ = result.revision;
    // Until nothing is left to forget.
    next_round_.prune = next_round_.prune || round->prune;
    // A first look at a change may come again: the machines find nothing to do then.
    schedule_round();
    return;
  }
  take_back(*round);
  if (is_invalid(result) && result.detail != round_trouble_) {
    round_trouble_ = result.detail;
    if (options_.log)
      options_.log("what follows from hosts' news cannot be recorded, please report this: " + result.detail);
  }
  if (result.outcome == port::CommitOutcome::conflict) round_waits_for_ = result.revision;
  if (result.outcome == port::CommitOutcome::conflict && result.revision > round->planned_at) {
    round_delay_ms_ = 0;
  } else {
    round_delay_ms_ = round_delay_ms_ == 0 ? kFirstDelayMs : std::min(kLastDelayMs, round_delay_ms_ * 2);
  }
  schedule_round();
}

// For the next round. False when there is nothing left to put off. Forgetting leaves half of a transaction free.
bool ManagerCore::Impl::put_off_half(Round& round) {
  const std::size_t others = round.hosts.size() + round.dirty.size();
  if (others + round.observations.size() <= 1) return false;
  const std::size_t observations = (round.observations.size() + (round.dirty.empty() ? 1 : 0)) / 2;
  move_last(round.dirty, next_round_.dirty, (round.dirty.size() + 1) / 2);
  move_last(round.hosts, next_round_.hosts, round.hosts.size() / 2);
  move_last(round.observations, next_round_.observations, observations);
  return true;
}

// What came meanwhile is newer.
void ManagerCore::Impl::take_back(Round& round) {
  next_round_.hosts.merge(round.hosts);
  next_round_.observations.merge(round.observations);
  next_round_.dirty.merge(round.dirty);
  next_round_.prune = next_round_.prune || round.prune;
}

void ManagerCore::Impl::maintain() {
  next_round_.prune = has_old_key(view_, executor_.now()) || has_ended_token(view_, executor_.now()) ||
                      view_.ended_tasks() > options_.ended_tasks_max ||
                      view_.keys_by_age().size() > options_.idempotency_keys_max;
  // Uploads that never come end by time alone.
  for (const auto& [id, image] : view_.all<v1::Image>().by_id) {
    if (image.status().state() == v1::ImageStatus::WAITING) next_round_.dirty.insert(id);
  }
  schedule_round();
}

}  // namespace gantry::control
