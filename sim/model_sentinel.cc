#include "sim/model_sentinel.h"

#include <algorithm>
#include <utility>

#include "sim/host_world.h"

namespace gantry::sim {
namespace {

constexpr Milliseconds kLookEveryMs = 500;
constexpr Milliseconds kNever = 1'000'000'000'000;

}  // namespace

ModelSentinel::ModelSentinel(Stage& stage, HostWorld& world)
    : scheduler_(stage.scheduler),
      trace_(stage.trace),
      rng_(stage.rng),
      swarm_(stage.swarm),
      worlds_(stage.worlds),
      shared_(*stage.shared_files),
      world_(world) {
  scheduler_.at(kLookEveryMs, [this] { look(); });
}

void ModelSentinel::later(Milliseconds delay_ms, std::function<void()> work) {
  scheduler_.at(delay_ms, [this, run = run_, work = std::move(work)] {
    if (run == run_) work();
  });
}

void ModelSentinel::want(const port::LeaseWish& wish) {
  // Nobody hears it: the agent says it again when somebody does.
  if (inheritance_) return;
  came_late.erase(wish.vm_id);
  const auto ward = wards_.try_emplace(wish.vm_id, wish).first;
  if (wish.epoch < ward->second.wish.epoch) return;
  // Another pool has another record; and what this host had before has nothing to do with a guest that comes.
  const auto guest = world_.guests.find(wish.vm_id);
  const bool lives = guest != world_.guests.end() && HostWorld::lives(guest->second);
  const bool comes = wish.incoming && !lives && ward->second.lease.epoch() < wish.epoch;
  if (comes || wish.is_private != ward->second.wish.is_private) ward->second.lease = host::Lease(wish.host_id);
  ward->second.wish = wish;
  ward->second.told.clear();
  // What was given is taken at once only the first time: its record may come late once more.
  host::Lease& lease = ward->second.lease;
  if (wish.hold) lease.want(wish.epoch, wish.is_private, wish.was_given && !lease.was_held());
  step(wish.vm_id);
}

void ModelSentinel::remove(const port::LeaseWish& wish) {
  for (const HostWorld* world : worlds_) {
    const auto guest = world->guests.find(wish.vm_id);
    if (guest == world->guests.end() || (wish.is_private && world != &world_)) continue;
    // Elsewhere a process may wait in vain yet.
    const bool needs_it = world == &world_ ? HostWorld::lives(guest->second) : HostWorld::owns_disks(guest->second);
    if (needs_it) {
      trace_.violation("the lease of guest " + wish.vm_id + " is removed while it lives");
    }
  }
  wards_.erase(wish.vm_id);
  if (inheritance_) inheritance_->erase(wish.vm_id);
  records_of(wish.is_private).erase(wish.vm_id);
}

void ModelSentinel::crash() {
  ++run_;
  // The only one that is left may die too, before it took over.
  const bool both = rng_.chance(1, 3) || inheritance_;
  trace_.note("sentinel", world_.setup.name + (both ? ": DIES, both processes" : ": DIES, its second process goes on"));
  auto before = std::exchange(wards_, {});
  inheritance_.reset();
  if (both) {
    for (const auto& [vm_id, guest] : world_.guests) {
      if (HostWorld::lives(guest)) world_.set_frozen(vm_id, true);
    }
    if (restarted)
      scheduler_.at(50 + static_cast<Milliseconds>(rng_.below(2'000)), [this] {
        if (restarted) restarted();
      });
    return;
  }
  inheritance_ = std::move(before);
  // It is noticed at once, or by the heartbeats that do not come.
  later(static_cast<Milliseconds>(rng_.chance(1, 2) ? 5 : rng_.below(2'500)), [this] { take_over(); });
}

void ModelSentinel::take_over() {
  const auto before = std::move(*inheritance_);
  inheritance_.reset();
  for (const auto& [vm_id, was] : before) {
    Ward& ward = wards_.try_emplace(vm_id, was.wish).first->second;
    // Nothing is won that nobody wants.
    if (was.wish.hold || was.lease.was_held()) {
      ward.lease.want(was.wish.hold ? was.wish.epoch : was.lease.epoch(), was.wish.is_private,
                      was.wish.was_given && !was.lease.was_held());
      ward.lease.resume(was.lease.memory());
    }
    ward.guard = was.guard;
    ward.guard.stop_answered = true;
    step(vm_id);
  }
  if (restarted) restarted();
}

void ModelSentinel::lose_power() {
  ++run_;
  wards_.clear();
  inheritance_.reset();
}

void ModelSentinel::wipe() {
  lose_power();
  records_.clear();
}

Milliseconds ModelSentinel::now_ms() const { return 1 + world_.own_time_ms(); }

bool ModelSentinel::guards(const std::string& vm_id) const {
  const auto ward = wards_.find(vm_id);
  if (ward == wards_.end()) return false;
  return ward->second.lease.right(now_ms()) == host::LeaseRight::run || waits_for_agent(ward->second);
}

void ModelSentinel::check_runs(const std::string& vm_id) {
  const auto guest = world_.guests.find(vm_id);
  if (guest == world_.guests.end() || !HostWorld::runs(guest->second)) return;
  const auto ward = wards_.find(vm_id);
  // Between two processes nobody has it, and its right goes on as long as it was good for.
  if (ward == wards_.end() && !guest->second.definition.guard.empty()) return;
  if (ward == wards_.end() || now_ms() >= ward->second.lease.kill_at_ms()) {
    trace_.violation("guest " + vm_id + " runs without its lease");
  }
}

void ModelSentinel::look() {
  for (const auto& [vm_id, guest] : world_.guests) check_runs(vm_id);
  scheduler_.at(kLookEveryMs, [this] { look(); });
}

// ---- one lease

void ModelSentinel::step(const std::string& vm_id) {
  const auto found = wards_.find(vm_id);
  if (found == wards_.end()) return;
  Ward& ward = found->second;
  const auto guest = world_.guests.find(vm_id);
  const bool lives = guest != world_.guests.end() && HostWorld::lives(guest->second);
  sign_over(ward, lives);
  Milliseconds next_ms = kNever;
  if (!ward.io) {
    const host::LeaseStep due = ward.lease.next(now_ms());
    if (due.read || due.write || due.fence) {
      ward.io = true;
      if (due.fence) fence(vm_id);
      if (due.read) read(vm_id);
      if (due.write) write(vm_id, *due.write);
    } else {
      next_ms = due.wake_ms;
    }
  }
  if (lives) {
    guard(vm_id, ward);
  } else {
    ward.guard = {};
  }
  tell(vm_id, ward);
  const bool gives = ward.lease.phase() == host::LeasePhase::giving && now_ms() < ward.lease.pause_at_ms();
  if (gives || ward.lease.right(now_ms()) == host::LeaseRight::run) {
    next_ms = std::min(next_ms, ward.lease.pause_at_ms());
  }
  const Milliseconds guard_ms = host::next_guard_ms(ward.guard, ward.lease.right(now_ms()));
  if (guard_ms != 0) next_ms = std::min(next_ms, guard_ms);
  wake(vm_id, ward, next_ms);
}

void ModelSentinel::sign_over(Ward& ward, bool lives) {
  const port::LeaseWish& wish = ward.wish;
  if (wish.hold) return;
  if (wish.heir.empty()) {
    if (!lives) ward.lease.give(wish.host_id, wish.epoch);
    return;
  }
  // Only who holds it can sign it over: who has just begun, or has signed it back, wins it first.
  const bool rests = ward.lease.phase() == host::LeasePhase::idle || ward.lease.phase() == host::LeasePhase::given;
  if (rests && !is_given_away(ward)) ward.lease.want(wish.epoch, wish.is_private);
  ward.signs_over = ward.signs_over || ward.lease.phase() == host::LeasePhase::held;
  ward.lease.give(wish.heir, wish.heir_epoch);
}

bool ModelSentinel::is_given_away(const Ward& ward) {
  return ward.signs_over && ward.lease.phase() == host::LeasePhase::given;
}

bool ModelSentinel::waits_for_agent(const Ward& ward) const {
  const host::Lease& lease = ward.lease;
  if (ward.wish.hold) {
    return ward.wish.was_given && !lease.was_held() && lease.right(now_ms()) == host::LeaseRight::paused;
  }
  if (lease.phase() == host::LeasePhase::giving) return now_ms() < lease.pause_at_ms();
  return ward.wish.incoming && lease.phase() == host::LeasePhase::idle;
}

void ModelSentinel::guard(const std::string& vm_id, Ward& ward) {
  const ModelGuest& guest = world_.guests.at(vm_id);
  if (guest.frozen) ward.guard.frozen = true;
  const bool is_anothers = ward.lease.phase() == host::LeasePhase::superseded || is_given_away(ward);
  if (ward.wish.serves && (!ward.wish.hold || is_anothers)) {
    if (!ward.wish.hold && std::exchange(ward.guard, {}).frozen) world_.set_frozen(vm_id, false);
    return;
  }
  if (ward.lease.phase() == host::LeasePhase::idle || waits_for_agent(ward)) return;
  host::LeaseRight right = ward.lease.right(now_ms());
  if (right == host::LeaseRight::none && !is_anothers) right = host::LeaseRight::paused;
  switch (host::plan_guard(ward.guard, right, now_ms())) {
    case host::GuardStep::stop: {
      ward.guard.freeze_at_ms = host::freeze_at(now_ms(), ward.lease.kill_at_ms());
      ward.guard.stop_answered = false;
      // A QEMU whose disk hangs does not answer.
      if (rng_.chance(1, 2)) {
        later(20, [this, vm_id] {
          if (const auto found = wards_.find(vm_id); found != wards_.end()) found->second.guard.stop_answered = true;
          step(vm_id);
        });
      }
      return;
    }
    case host::GuardStep::freeze:
      ward.guard.frozen = true;
      world_.set_frozen(vm_id, true);
      return;
    case host::GuardStep::thaw:
      ward.guard = {};
      world_.set_frozen(vm_id, false);
      return;
    case host::GuardStep::kill: return world_.end_by_sentinel(vm_id);
    default: return;
  }
}

void ModelSentinel::tell(const std::string& vm_id, Ward& ward) {
  port::LeaseObservation seen;
  seen.vm_id = vm_id;
  seen.status.set_epoch(ward.lease.epoch());
  seen.status.set_reason(ward.lease.obstacle(now_ms()));
  const auto guest = world_.guests.find(vm_id);
  const bool lives = guest != world_.guests.end() && HostWorld::lives(guest->second);
  if (ward.lease.right(now_ms()) == host::LeaseRight::run) {
    seen.status.set_state(v1::LeaseStatus::HELD);
    seen.guard = "/guards/" + vm_id;
  } else if (ward.lease.phase() == host::LeasePhase::superseded) {
    seen.status.set_state(v1::LeaseStatus::LOST);
  } else if (is_given_away(ward)) {
    seen.status.set_state(v1::LeaseStatus::GIVEN);
  } else if (ward.wish.incoming) {
    seen.status.set_epoch(ward.wish.epoch);
    seen.status.clear_reason();
    const bool frozen = lives && guest->second.frozen;
    if (waits_for_agent(ward) && !frozen) seen.guard = "/guards/" + vm_id;
  } else if (ward.wish.hold) {
    seen.status.set_state(lives && !waits_for_agent(ward) ? v1::LeaseStatus::LAPSED : v1::LeaseStatus::WAITING);
  } else {
    seen.status.clear_reason();
  }
  std::string told = seen.guard + " " + seen.status.SerializeAsString();
  if (std::exchange(ward.told, told) == told || !observer) return;
  scheduler_.at(1, [this, seen] {
    if (observer) observer(seen);
  });
}

void ModelSentinel::wake(const std::string& vm_id, Ward& ward, Milliseconds at_ms) {
  const std::uint64_t number = ++ward.wake;
  if (at_ms >= kNever) return;
  const Milliseconds true_ms = world_.setup.clock.true_time_of(at_ms) - scheduler_.now().monotonic_ms;
  later(std::max<Milliseconds>(1, true_ms), [this, vm_id, number] {
    const auto found = wards_.find(vm_id);
    if (found != wards_.end() && found->second.wake == number) step(vm_id);
  });
}

// ---- the pool

bool ModelSentinel::fails(bool is_private) {
  return (is_private && !world_.pool_mounted) || (!calm && rng_.chance(swarm_.lease_errors, 1'000));
}

Milliseconds ModelSentinel::latency_ms() {
  const bool slow = !calm && rng_.chance(swarm_.lease_errors, 1'000);
  return 1 + static_cast<Milliseconds>(rng_.below(slow ? 20'000 : 5));
}

void ModelSentinel::read(const std::string& vm_id) {
  const bool is_private = wards_.at(vm_id).wish.is_private;
  const bool works = !fails(is_private);
  later(latency_ms(), [this, vm_id, works, is_private] {
    const auto ward = wards_.find(vm_id);
    if (ward == wards_.end()) return;
    ward->second.io = false;
    const auto& records = records_of(is_private);
    const auto record = records.find(vm_id);
    if (!works) {
      ward->second.lease.read_done(fail(ErrorCode::unavailable, "the rehearsal wanted the pool to fail"), now_ms());
    } else {
      ward->second.lease.read_done(record == records.end() ? std::nullopt : std::optional(record->second), now_ms());
    }
    step(vm_id);
  });
}

// As on a file system, which cannot refuse what is on its way: the lease's times guard it.
void ModelSentinel::fence(const std::string& vm_id) {
  later(1, [this, vm_id] {
    const auto ward = wards_.find(vm_id);
    if (ward == wards_.end()) return;
    ward->second.io = false;
    ward->second.lease.fence_done({}, now_ms());
    step(vm_id);
  });
}

void ModelSentinel::write(const std::string& vm_id, const host::LeaseWrite& write) {
  const bool is_private = wards_.at(vm_id).wish.is_private;
  const bool works = !fails(is_private);
  const Milliseconds takes_ms = latency_ms();
  // One that was given up, or whose process died, may take effect yet.
  const Milliseconds effect_ms = works ? takes_ms : static_cast<Milliseconds>(rng_.below(30'000));
  if (works || rng_.chance(1, 2)) {
    scheduler_.at(effect_ms, [this, vm_id, write, is_private] {
      auto& records = records_of(is_private);
      if (write.create == records.contains(vm_id)) return;
      records[vm_id] = write.record;
      const bool is_known = wards_.contains(vm_id) || (inheritance_ && inheritance_->contains(vm_id));
      if (write.create && !is_known) came_late.insert(vm_id);
    });
  }
  later(takes_ms, [this, vm_id, works, write, is_private] {
    const auto ward = wards_.find(vm_id);
    if (ward == wards_.end()) return;
    ward->second.io = false;
    if (works && records_of(is_private).contains(vm_id)) {
      ward->second.lease.write_done({}, now_ms());
    } else {
      ward->second.lease.write_done(fail(ErrorCode::unavailable, "the rehearsal wanted the pool to fail"), now_ms());
    }
    step(vm_id);
  });
}

}  // namespace gantry::sim
