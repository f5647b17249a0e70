#include "app/sentinel/keeper.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

#include "qemu/guest_directory.h"
#include "runtime/files.h"
#include "runtime/report.h"

namespace gantry::sentinel {
namespace {

constexpr Milliseconds kLookEveryMs = 1'000;
constexpr Milliseconds kRemoveAgainMs = 100;
// Many renewals are told at once.
constexpr Milliseconds kTellChangedMs = 100;
constexpr std::size_t kFenceThreads = 4;
constexpr Milliseconds kNever = std::numeric_limits<Milliseconds>::max();

}  // namespace

std::string guard_path(const std::string& state_directory, const std::string& vm_id) {
  return state_directory + "/sentinel/" + vm_id + ".guard";
}

Result<UniqueFd> hold_guard(const std::string& path) {
  if (::mkfifo(path.c_str(), 0600) != 0 && errno != EEXIST) {
    return fail(runtime::errno_error("cannot make " + path, errno));
  }
  return open_guard(path);
}

Result<UniqueFd> open_guard(const std::string& path) {
  // For reading too, so that it opens before QEMU does.
  UniqueFd guard(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
  if (!guard.valid()) return fail(runtime::errno_error("cannot open " + path, errno));
  return guard;
}

Keeper::Keeper(runtime::EventLoop& loop, runtime::BootTimer timer, std::string state_directory)
    : loop_(loop), timer_(std::move(timer)), state_directory_(std::move(state_directory)) {}

Keeper::Guarded* Keeper::find(const std::string& vm_id) {
  const auto found = wards_.find(vm_id);
  return found == wards_.end() ? nullptr : found->second.get();
}

// ---- what is wanted

void Keeper::want(const port::LeaseWish& wish) {
  const Milliseconds now_ms = runtime::boot_now_ms();
  Guarded* ward = find(wish.vm_id);
  if (ward != nullptr && wish.epoch < ward->wish.epoch) return;
  if (ward == nullptr) {
    ward = (wards_[wish.vm_id] = std::make_unique<Guarded>(wish, now_ms)).get();
    ward->place = places_.at(wish);
  } else if (wish != ward->wish) {
    // Another pool has another record.
    if (wish.directory != ward->wish.directory) ward->lease = host::Lease(wish.host_id);
    if (wish.directory != ward->wish.directory || wish.is_private != ward->wish.is_private) {
      ward->place = places_.at(wish);
    }
    ward->wish = wish;
    ward->wanted_at_ms = now_ms;
  }
  ward->looked = false;
  ward->looked_too_early = ward->looking;
  ward->look_at_ms = now_ms;
  // What was given is taken at once only the first time: its record may come late once more.
  if (wish.hold) ward->lease.want(wish.epoch, wish.is_private, wish.was_given && !ward->lease.was_held());
  // Whoever asks anew hears it anew.
  ward->told.reset();
  step_now(wish.vm_id);
}

void Keeper::take_over(const Handover& handover) {
  const Milliseconds now_ms = runtime::boot_now_ms();
  for (const Ward& one : handover.wards) {
    auto ward = std::make_unique<Guarded>(one.wish, now_ms);
    ward->place = places_.at(one.wish);
    // Nothing is won that nobody wants: not by a host that a guest was to come to, nor, at the later epoch of its
    // leave, by one that it went from.
    if (const bool was_held = one.memory.renewed_ms != 0; one.wish.hold || was_held) {
      ward->lease.want(one.wish.hold ? one.wish.epoch : one.memory.epoch, one.wish.is_private,
                       one.wish.was_given && !was_held);
      ward->lease.resume(one.memory);
    }
    ward->guard = one.guard;
    // Whether QEMU answered another process is not known; it is over for it.
    ward->guard.stop_answered = true;
    wards_[one.wish.vm_id] = std::move(ward);
  }
  step();
}

void Keeper::remove(const port::LeaseWish& wish, std::function<void(Result<void>)> done, int tries) {
  Guarded* ward = find(wish.vm_id);
  const bool lives = ward != nullptr && ward->process;
  if (lives && tries > 0) {
    loop_.post_after(kRemoveAgainMs, [this, wish, done = std::move(done), tries] { remove(wish, done, tries - 1); });
    return;
  }
  if (lives) {
    done(fail(ErrorCode::conflict, "cannot remove the lease of virtual machine " + wish.vm_id,
              "a process of it still lives", "it is tried again"));
    return;
  }
  wards_.erase(wish.vm_id);
  ::unlink(guard_path(state_directory_, wish.vm_id).c_str());
  const std::shared_ptr<LeasePlace> place = places_.at(wish);
  pools_.submit(place->lane(), [this, place, done = std::move(done)] {
    auto removed = place->remove();
    loop_.post([done, removed = std::move(removed)] { done(removed); });
  });
  tell_changed();
}

bool Keeper::rest() {
  bool rests = true;
  for (auto& [vm_id, ward] : wards_) {
    ward->wish.hold = false;
    ward->due_ms = 0;
    const auto phase = ward->lease.phase();
    if (phase == host::LeasePhase::held || phase == host::LeasePhase::giving) rests = false;
  }
  step();
  return rests;
}

bool Keeper::guards_any() const {
  return std::any_of(wards_.begin(), wards_.end(),
                     [](const auto& entry) { return entry.second->process || !entry.second->looked; });
}

// It is another host's: whoever went on with it could only put its record back where that host has removed it.
bool Keeper::is_over(const Guarded& ward) {
  const bool wanted = ward.wish.hold || ward.wish.incoming || ward.process || !ward.looked;
  return !wanted && (ward.lease.phase() == host::LeasePhase::superseded || ward.lease.is_given_away());
}

Handover Keeper::handover() const {
  Handover handover;
  for (const auto& [vm_id, ward] : wards_) {
    if (is_over(*ward)) continue;
    handover.wards.push_back({.wish = ward->wish,
                              .memory = ward->lease.memory(),
                              .guard = ward->guard,
                              .guarded = ward->held_guard.valid()});
  }
  return handover;
}

// ---- what is due

void Keeper::step() {
  const Milliseconds now_ms = runtime::boot_now_ms();
  Milliseconds next_ms = kNever;
  for (auto& [vm_id, ward] : wards_) {
    if (ward->due_ms <= now_ms) ward->due_ms = step(vm_id, *ward, now_ms);
    next_ms = std::min(next_ms, ward->due_ms);
  }
  forget_done();
  tell_changed();
  if (next_ms != kNever) wait_until(std::max(next_ms, now_ms + 1));
}

// Of a guest that went to another host, or was awaited in vain, and of which nothing is left here.
bool Keeper::is_done_with(const Guarded& ward) {
  const auto phase = ward.lease.phase();
  const bool rests =
      phase == host::LeasePhase::idle || phase == host::LeasePhase::superseded || ward.lease.is_given_away();
  const bool gives = !ward.wish.heir.empty() && !ward.lease.is_given_away();
  const bool wanted = ward.wish.hold || ward.wish.incoming || gives;
  return rests && !wanted && ward.looked && !ward.process && !ward.looking && !ward.io;
}

void Keeper::forget_done() {
  std::erase_if(wards_, [this](const auto& entry) {
    if (!is_done_with(*entry.second)) return false;
    ::unlink(guard_path(state_directory_, entry.first).c_str());
    return true;
  });
}

void Keeper::step_now(const std::string& vm_id) {
  if (Guarded* ward = find(vm_id)) ward->due_ms = 0;
  step();
}

void Keeper::tell_changed() {
  if (std::exchange(changes_, true)) return;
  loop_.post_after(kTellChangedMs, [this] {
    changes_ = false;
    if (changed) changed();
  });
}

void Keeper::wait_until(Milliseconds at_ms) {
  timer_.arm(at_ms);
  if (std::exchange(timer_is_watched_, true)) return;
  timer_watch_ = qemu::watch_readable(loop_, timer_.watched(), [this] {
    timer_is_watched_ = false;
    step();
  });
}

Milliseconds Keeper::step(const std::string& vm_id, Guarded& ward, Milliseconds now_ms) {
  sign_over(ward);
  Milliseconds next_ms = drive_lease(vm_id, ward, now_ms);
  const host::LeaseRight right = right_of(ward, now_ms);
  const bool held = ward.held_guard.valid();
  const bool goes_on = may_go_on(ward, right);
  const bool could_go_on = std::exchange(ward.might_go_on, goes_on) && held;
  // Before it is let go on: the kernel freezes what nobody guards, and may have done so unseen.
  if (goes_on) hold_or_drop_guard(vm_id, ward, right, now_ms);
  if (goes_on && !could_go_on && ward.held_guard.valid() && ward.process) ward.process->thaw();
  guard(vm_id, ward, right, now_ms);
  hold_or_drop_guard(vm_id, ward, right, now_ms);
  // The other process holds it too, as soon as anybody starts a guest by it.
  if (held != ward.held_guard.valid() && changed) changed();
  tell(vm_id, ward, now_ms);
  const bool gives = ward.lease.phase() == host::LeasePhase::giving && now_ms < ward.lease.pause_at_ms();
  if (gives || ward.lease.right(now_ms) == host::LeaseRight::run) {
    next_ms = std::min(next_ms, ward.lease.pause_at_ms());
  }
  // Until then it is given time: see right_of().
  const Milliseconds young_ms = ward.wanted_at_ms + host::LeaseTimes().pause_ms;
  if (now_ms < young_ms && !ward.lease.was_held()) next_ms = std::min(next_ms, young_ms);
  if (const Milliseconds guard_ms = host::next_guard_ms(ward.guard, right); guard_ms != 0 && ward.process) {
    next_ms = std::min(next_ms, guard_ms);
  }
  if (ward.process || ward.looking) return next_ms;
  if (now_ms >= ward.look_at_ms) look(vm_id, ward, now_ms);
  // A lease that rests has no guest to look for.
  const bool looks = ward.wish.hold || ward.wish.incoming || !ward.looked;
  return looks ? std::min(next_ms, ward.look_at_ms) : next_ms;
}

void Keeper::sign_over(Guarded& ward) {
  const port::LeaseWish& wish = ward.wish;
  host::Lease& lease = ward.lease;
  const bool gone = ward.looked && !ward.process && !ward.looking;
  // What this host had before has nothing to do with the guest that comes.
  if (wish.incoming && gone && lease.epoch() < wish.epoch) lease = host::Lease(wish.host_id);
  if (wish.hold) return;
  if (wish.heir.empty()) {
    if (gone) lease.give(wish.host_id, wish.epoch);
    return;
  }
  // Only who holds it can sign it over: who has just begun, or has signed it back, wins it first.
  const bool rests = lease.phase() == host::LeasePhase::idle || lease.phase() == host::LeasePhase::given;
  if (rests && !lease.is_given_away()) lease.want(wish.epoch, wish.is_private);
  lease.give(wish.heir, wish.heir_epoch);
}

Milliseconds Keeper::drive_lease(const std::string& vm_id, Guarded& ward, Milliseconds now_ms) {
  if (ward.io) return kNever;
  const host::LeaseStep next = ward.lease.next(now_ms);
  const auto phase = ward.lease.phase();
  if (!next.read && !next.write && !next.fence) {
    const bool over =
        phase == host::LeasePhase::given || phase == host::LeasePhase::superseded || phase == host::LeasePhase::idle;
    return over ? kNever : next.wake_ms;
  }
  if (next.fence) return fence(vm_id, ward, *next.fence, now_ms);
  const std::shared_ptr<LeasePlace> place = ward.place;
  if (next.read) {
    ask(
        vm_id, ward, place->lane(), [place] { return place->read(); }, &host::Lease::read_done);
  } else {
    ask(
        vm_id, ward, place->lane(), [place, write = *next.write] { return place->write(write); },
        &host::Lease::write_done);
  }
  return kNever;
}

template <class Call, class Take>
void Keeper::ask(const std::string& vm_id, Guarded& ward, const std::string& thread, Call call, Take take) {
  ward.io = true;
  // Answers are for this wish's record alone.
  pools_.submit(thread, [this, vm_id, directory = ward.wish.directory, call = std::move(call), take] {
    loop_.post([this, vm_id, directory, take, result = call()] {
      Guarded* found = find(vm_id);
      if (found == nullptr) return;
      found->io = false;
      if (found->wish.directory == directory) (found->lease.*take)(result, runtime::boot_now_ms());
      step_now(vm_id);
    });
  });
}

// It would shut out a process that is here too. There may be one yet from before another host had the lease: that
// host's guest has gone on since, so it is to go.
Milliseconds Keeper::fence(const std::string& vm_id, Guarded& ward, const host::LeaseStep::Fence& order,
                           Milliseconds now_ms) {
  if (!ward.place->fences()) {
    ward.lease.fence_done({}, now_ms);
    return drive_lease(vm_id, ward, now_ms);
  }
  if (ward.process || !ward.looked) {
    const char* const why = ward.looked ? "a process of it is here" : "a process of it may be here";
    ward.lease.fence_done(fail(ErrorCode::conflict, "cannot shut out who had it before", why), now_ms);
    if (ward.process && !waits_for_agent(ward, now_ms)) {
      runtime::report_problem("virtual machine " + vm_id + " is ended: another host had its lease meanwhile");
      ward.process->kill();
    }
    return drive_lease(vm_id, ward, now_ms);
  }
  // Beside the thread that renews leases: it may take long. Several at once, as when a host is gone with its guests.
  const std::size_t thread = std::hash<std::string>()(vm_id) % kFenceThreads;
  ask(
      vm_id, ward, ward.wish.directory + " fence " + std::to_string(thread),
      [place = ward.place, record = order.record, wish = ward.wish] { return place->fence(record, wish); },
      &host::Lease::fence_done);
  return kNever;
}

// ---- the guest's process

void Keeper::look(const std::string& vm_id, Guarded& ward, Milliseconds now_ms) {
  ward.looking = true;
  ward.look_at_ms = now_ms + kLookEveryMs;
  files_.submit(state_directory_, [this, vm_id, directory = state_directory_] {
    // Opened on the loop: that thread's files are not the loop's.
    loop_.post([this, vm_id, known = known_process(directory, vm_id)] {
      if (known && *known) return found(vm_id, find_process(**known));
      found(vm_id, known ? Result<std::optional<FoundProcess>>(std::nullopt) : fail(known.error()));
    });
  });
}

void Keeper::found(const std::string& vm_id, Result<std::optional<FoundProcess>> process) {
  Guarded* ward = find(vm_id);
  if (ward == nullptr) return;
  ward->looking = false;
  if (std::exchange(ward->looked_too_early, false)) return step_now(vm_id);
  if (!process) {
    const std::string why = process.error().to_text();
    if (why != std::exchange(ward->look_trouble, why)) {
      runtime::report_problem("cannot see whether virtual machine " + vm_id + " runs: " + why);
    }
    return step_now(vm_id);
  }
  ward->look_trouble.clear();
  const bool first = !std::exchange(ward->looked, true);
  if (*process) {
    ward->process = std::make_shared<GuestProcess>(
        loop_, qemu::GuestDirectory(state_directory_, vm_id).sentinel_socket(), std::move((*process)->pidfd));
    ward->guard.frozen = (*process)->is_frozen;
    // A freeze on its way is not seen yet.
    const bool goes_on = may_go_on(*ward, right_of(*ward, runtime::boot_now_ms()));
    if (ward->held_guard.valid() && goes_on) ward->process->thaw();
    ward->process->watch_exit([this, vm_id] {
      Guarded* over = find(vm_id);
      if (over == nullptr) return;
      over->process.reset();
      over->guard = {};
      over->looked = false;
      over->look_at_ms = 0;
      // What calls this is the process's own watch.
      loop_.post([this, vm_id] { step_now(vm_id); });
    });
  } else if (first) {
    ward->guard = {};
  }
  step_now(vm_id);
}

// What no other host can have is lost by nobody while its record cannot be read or written: nothing would be gained by
// a guest that stands still. One that the kernel froze waits until its lease is held again. Only a guest whose lease is
// another's is ended.
host::LeaseRight Keeper::right_of(const Guarded& ward, Milliseconds now_ms) const {
  const host::LeaseRight right = ward.lease.right(now_ms);
  const bool is_anothers = ward.lease.phase() == host::LeasePhase::superseded || ward.lease.is_given_away();
  if (right == host::LeaseRight::run || is_anothers) return right;
  const bool young = now_ms < ward.wanted_at_ms + host::LeaseTimes().pause_ms;
  const bool keeps = ward.wish.is_private && ward.wish.hold && (young || ward.lease.was_held()) && !ward.guard.frozen;
  return keeps ? host::LeaseRight::run : host::LeaseRight::paused;
}

// The guest stands and goes on by the agent's word alone, which waits for the lease: one that comes from another host,
// or that is being signed over to one. Nothing is done to its process, neither to stop it nor to let it go on.
bool Keeper::waits_for_agent(const Guarded& ward, Milliseconds now_ms) {
  const host::Lease& lease = ward.lease;
  if (ward.wish.hold) {
    return ward.wish.was_given && !lease.was_held() && lease.right(now_ms) == host::LeaseRight::paused;
  }
  if (lease.phase() == host::LeasePhase::giving) return !ward.wish.heir.empty() && now_ms < lease.pause_at_ms();
  return ward.wish.incoming && lease.phase() == host::LeasePhase::idle;
}

// Whatever its lease is: its guest stands, and another host's goes on only as long as this process does. So does one
// that is not found yet: it is not to be frozen until it is.
bool Keeper::serves(const Guarded& ward) {
  const bool is_anothers = ward.lease.phase() == host::LeasePhase::superseded || ward.lease.is_given_away();
  return ward.wish.serves && (ward.process || !ward.looked) && (!ward.wish.hold || is_anothers);
}

// Its process; whether its guest runs is another matter where it serves.
bool Keeper::may_go_on(const Guarded& ward, host::LeaseRight right) {
  return right == host::LeaseRight::run || (serves(ward) && !ward.wish.hold);
}

void Keeper::guard(const std::string& vm_id, Guarded& ward, host::LeaseRight right, Milliseconds now_ms) {
  // Nobody ever said that it is to be guarded.
  if (!ward.process) return;
  if (serves(ward)) {
    // Never `cont`: see thaw().
    if (!ward.wish.hold && std::exchange(ward.guard, {}).frozen) ward.process->thaw();
    return;
  }
  if (ward.lease.phase() == host::LeasePhase::idle || waits_for_agent(ward, now_ms)) return;
  switch (host::plan_guard(ward.guard, right, now_ms)) {
    case host::GuardStep::none: return;
    case host::GuardStep::stop:
      runtime::report_problem("virtual machine " + vm_id + " is paused: " + ward.lease.obstacle(now_ms));
      return stop(vm_id, ward, now_ms);
    case host::GuardStep::freeze:
      ward.process->freeze();
      ward.guard.frozen = true;
      return;
    case host::GuardStep::thaw: return thaw(ward);
    case host::GuardStep::kill:
      // The first write of the guest elsewhere would wait half a minute for the locks in Ceph of one that was killed.
      if (ward.lease.is_given_away() && !ward.guard.frozen) return ward.process->end();
      if (!ward.lease.is_given_away()) {
        runtime::report_problem("virtual machine " + vm_id + " is ended: " + ward.lease.obstacle(now_ms));
      }
      ward.process->kill();
      return;
  }
}

void Keeper::stop(const std::string& vm_id, Guarded& ward, Milliseconds now_ms) {
  ward.guard.freeze_at_ms = host::freeze_at(now_ms, ward.lease.kill_at_ms());
  ward.guard.stop_answered = false;
  ward.process->stop([this, vm_id, weak = std::weak_ptr(ward.process)](Result<bool> ran) {
    Guarded* found = find(vm_id);
    if (found == nullptr || !found->process || found->process != weak.lock()) return;
    found->guard.stop_answered = true;
    if (ran && *ran) found->guard.resume = true;
    loop_.post([this, vm_id] { step_now(vm_id); });
  });
}

void Keeper::thaw(Guarded& ward) {
  ward.guard.frozen = false;
  ward.process->thaw();
  // It does what it was told before anything else: to let it go on comes after.
  if (ward.guard.freeze_at_ms && !ward.guard.stop_answered) return;
  if (ward.guard.resume) ward.process->resume();
  ward.guard = {};
}

void Keeper::hold_or_drop_guard(const std::string& vm_id, Guarded& ward, host::LeaseRight right,
                                Milliseconds now_ms) const {
  const bool holds = right == host::LeaseRight::run || (ward.process && !ward.guard.frozen) ||
                     waits_for_agent(ward, now_ms) || serves(ward);
  if (!holds) return ward.held_guard.reset();
  if (ward.held_guard.valid()) return;
  auto held = hold_guard(guard_path(state_directory_, vm_id));
  if (!held) return runtime::report_problem(held.error().to_text());
  ward.held_guard = std::move(*held);
}

}  // namespace gantry::sentinel
