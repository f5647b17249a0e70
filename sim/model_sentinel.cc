#include "sim/model_sentinel.h"

#include <algorithm>
#include <utility>

#include "sim/host_world.h"

namespace gantry::sim {
namespace {

constexpr Milliseconds kLookEveryMs = 500;
constexpr Milliseconds kNever = 1'000'000'000'000;

}  // namespace

ModelSentinel::ModelSentinel(Scheduler& scheduler, Trace& trace, Rng& rng, const Swarm& swarm, HostWorld& world)
    : scheduler_(scheduler), trace_(trace), rng_(rng), swarm_(swarm), world_(world) {
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
  const auto ward = wards_.try_emplace(wish.vm_id, wish).first;
  if (wish.epoch < ward->second.wish.epoch) return;
  ward->second.wish = wish;
  ward->second.told.clear();
  if (wish.hold) ward->second.lease.want(wish.epoch, wish.is_private);
  step(wish.vm_id);
}

void ModelSentinel::remove(const std::string& vm_id) {
  if (world_.guests.contains(vm_id) && HostWorld::lives(world_.guests.at(vm_id))) {
    trace_.violation("the lease of guest " + vm_id + " is removed while it lives");
  }
  wards_.erase(vm_id);
  if (inheritance_) inheritance_->erase(vm_id);
  records_.erase(vm_id);
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
    ward.lease.want(was.wish.epoch, was.wish.is_private);
    ward.lease.resume(was.lease.memory());
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
  return ward != wards_.end() && ward->second.lease.right(now_ms()) == host::LeaseRight::run;
}

void ModelSentinel::check_runs(const std::string& vm_id) {
  const auto guest = world_.guests.find(vm_id);
  if (guest == world_.guests.end() || guest->second.state != GuestState::running) return;
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
  if (!ward.wish.hold && !lives) ward.lease.give(ward.wish.host_id, ward.wish.epoch);
  Milliseconds next_ms = kNever;
  if (!ward.io) {
    const host::LeaseStep due = ward.lease.next(now_ms());
    if (due.read || due.write) {
      ward.io = true;
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
  if (ward.lease.right(now_ms()) == host::LeaseRight::run) next_ms = std::min(next_ms, ward.lease.pause_at_ms());
  const Milliseconds guard_ms = host::next_guard_ms(ward.guard, ward.lease.right(now_ms()));
  if (guard_ms != 0) next_ms = std::min(next_ms, guard_ms);
  wake(vm_id, ward, next_ms);
}

void ModelSentinel::guard(const std::string& vm_id, Ward& ward) {
  const ModelGuest& guest = world_.guests.at(vm_id);
  if (guest.frozen) ward.guard.frozen = true;
  if (ward.lease.phase() == host::LeasePhase::idle) return;
  host::LeaseRight right = ward.lease.right(now_ms());
  if (right == host::LeaseRight::none) right = host::LeaseRight::paused;
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
  } else if (ward.wish.hold) {
    seen.status.set_state(lives ? v1::LeaseStatus::LAPSED : v1::LeaseStatus::WAITING);
  } else {
    seen.status.clear_reason();
  }
  std::string told = seen.status.SerializeAsString();
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

bool ModelSentinel::fails() { return !world_.pool_mounted || (!calm && rng_.chance(swarm_.lease_errors, 1'000)); }

Milliseconds ModelSentinel::latency_ms() {
  const bool slow = !calm && rng_.chance(swarm_.lease_errors, 1'000);
  return 1 + static_cast<Milliseconds>(rng_.below(slow ? 20'000 : 5));
}

void ModelSentinel::read(const std::string& vm_id) {
  const bool works = !fails();
  later(latency_ms(), [this, vm_id, works] {
    const auto ward = wards_.find(vm_id);
    if (ward == wards_.end()) return;
    ward->second.io = false;
    const auto record = records_.find(vm_id);
    if (!works) {
      ward->second.lease.read_done(fail(ErrorCode::unavailable, "the rehearsal wanted the pool to fail"), now_ms());
    } else {
      ward->second.lease.read_done(record == records_.end() ? std::nullopt : std::optional(record->second), now_ms());
    }
    step(vm_id);
  });
}

void ModelSentinel::write(const std::string& vm_id, const host::LeaseWrite& write) {
  const bool works = !fails();
  const Milliseconds takes_ms = latency_ms();
  // One that was given up, or whose process died, may take effect yet.
  const Milliseconds effect_ms = works ? takes_ms : static_cast<Milliseconds>(rng_.below(30'000));
  if (works || rng_.chance(1, 2)) {
    scheduler_.at(effect_ms, [this, vm_id, write] {
      if (write.create == records_.contains(vm_id)) return;
      records_[vm_id] = write.record;
    });
  }
  later(takes_ms, [this, vm_id, works, write] {
    const auto ward = wards_.find(vm_id);
    if (ward == wards_.end()) return;
    ward->second.io = false;
    if (works && records_.contains(vm_id)) {
      ward->second.lease.write_done({}, now_ms());
    } else {
      ward->second.lease.write_done(fail(ErrorCode::unavailable, "the rehearsal wanted the pool to fail"), now_ms());
    }
    step(vm_id);
  });
}

}  // namespace gantry::sim
