#include "host/lease.h"

#include <algorithm>

namespace gantry::host {
namespace {

std::string name_of(const LeaseRecord& record) {
  if (record.owner.empty()) return "somebody whose record cannot be read";
  return "host " + record.owner + " at epoch " + std::to_string(record.epoch);
}

std::string seconds(Milliseconds left_ms) {
  return std::to_string(std::max<Milliseconds>(left_ms, 0) / 1'000 + 1) + " s";
}

}  // namespace

void Lease::want(std::uint64_t epoch, bool is_private, bool was_given) {
  const bool rests = phase_ == LeasePhase::idle || phase_ == LeasePhase::given;
  if (epoch < epoch_ || (epoch == epoch_ && !rests && phase_ != LeasePhase::giving)) return;
  const bool kept = phase_ == LeasePhase::given && heir_ == host_id_ && heir_epoch_ == epoch;
  epoch_ = epoch;
  is_private_ = is_private;
  was_given_ = was_given || kept;
  came_ = was_given;
  win_anew();
}

void Lease::give(const std::string& heir, std::uint64_t heir_epoch) {
  if (phase_ != LeasePhase::held) return;
  phase_ = LeasePhase::giving;
  heir_ = heir;
  heir_epoch_ = heir_epoch;
  names_heir_ = false;
  pending_.reset();
}

void Lease::win_anew() {
  phase_ = LeasePhase::watching;
  seen_any_ = false;
  fence_due_ = false;
  fenced_ = false;
  pending_.reset();
  next_read_ms_ = 0;
}

// Another number for each attempt: one that came late is not taken for a later one.
LeaseRecord Lease::new_record() { return {.owner = host_id_, .epoch = epoch_, .counter = ++counter_}; }

bool Lease::is_ours(const std::optional<LeaseRecord>& found) const {
  return found && found->owner == host_id_ && found->epoch == epoch_ && found->heir.empty();
}

// ---- what comes next

LeaseStep Lease::next(Milliseconds now_ms) {
  asked_ms_ = now_ms;
  const bool lapses = phase_ == LeasePhase::held || phase_ == LeasePhase::giving;
  if (lapses && now_ms >= pause_at_ms()) win_anew();
  if (phase_ == LeasePhase::giving && unsure_) {
    return now_ms >= next_read_ms_ ? LeaseStep{.read = true} : LeaseStep{.wake_ms = next_read_ms_};
  }
  if (phase_ == LeasePhase::giving) {
    LeaseRecord record = new_record();
    record.heir = heir_;
    record.heir_epoch = heir_epoch_;
    names_heir_ = true;
    return {.write = LeaseWrite{.record = std::move(record)}};
  }
  if (pending_) {
    pending_->record = new_record();
    return {.write = std::exchange(pending_, std::nullopt)};
  }
  Milliseconds due_ms = next_read_ms_;
  if (fence_due_ && now_ms >= due_ms) return {.fence = LeaseStep::Fence{seen_}};
  if (phase_ == LeasePhase::settling) due_ms = std::max(due_ms, settled_at_ms_);
  const bool looks = phase_ == LeasePhase::watching || phase_ == LeasePhase::settling || phase_ == LeasePhase::held;
  if (looks && now_ms >= due_ms) return {.read = true};
  return {.wake_ms = looks ? due_ms : now_ms + times_.renew_ms};
}

// ---- answers

Lease::Claim Lease::claim_on(const std::optional<LeaseRecord>& found) const {
  // The first epoch of all: nobody had it before.
  if (!found) return is_private_ || came_ || (epoch_ == 1 && !was_held()) ? Claim::now : Claim::watch;
  // One that was signed over to another host is that host's, though it has its own record in a pool of its own.
  const bool is_gone = !found->heir.empty() && found->heir != host_id_ && found->heir_epoch > epoch_;
  if (is_private_ && !is_gone && (found->owner == host_id_ || found->owner.empty())) return Claim::now;
  if (!found->heir.empty()) {
    if (found->heir == host_id_ && found->heir_epoch == epoch_) return was_given_ ? Claim::now : Claim::contested;
    if (found->heir_epoch >= epoch_) return Claim::never;
    // It was signed over to a host with its lease elsewhere, from where it comes back: nobody has it here since.
    return came_ ? Claim::now : Claim::contested;
  }
  if (found->epoch > epoch_ || (found->epoch == epoch_ && found->owner != host_id_)) return Claim::never;
  return Claim::watch;
}

void Lease::read_done(const Result<std::optional<LeaseRecord>>& result, Milliseconds ended_ms) {
  next_read_ms_ = ended_ms + times_.renew_ms;
  if (!result) {
    trouble_ = result.error();
    // What could not be seen may have changed, and changed back.
    if (phase_ == LeasePhase::settling || phase_ == LeasePhase::watching) win_anew();
    next_read_ms_ = ended_ms + times_.renew_ms;
    return;
  }
  trouble_ = {};
  unsure_ = false;
  allowed_ms_ = asked_ms_;
  if (*result && !(*result)->owner.empty()) counter_ = std::max(counter_, (*result)->counter);
  if (phase_ == LeasePhase::watching) {
    watched(*result, ended_ms);
  } else if (phase_ == LeasePhase::settling) {
    settled(*result);
  } else if (phase_ == LeasePhase::held) {
    renew(*result);
  } else if (phase_ == LeasePhase::giving && !is_ours(*result)) {
    win_anew();
  }
}

void Lease::renew(const std::optional<LeaseRecord>& found) {
  if (!found) {
    // It is not made anew: what removed it may have meant it.
    trouble_ = {.code = ErrorCode::not_found, .summary = "the lease's record is gone"};
    return;
  }
  const bool others = found->epoch == epoch_ && found->owner != host_id_;
  if (found->epoch > epoch_ || found->heir_epoch > epoch_ || others) {
    seen_ = found;
    phase_ = LeasePhase::superseded;
    return;
  }
  // Also over another's write of an earlier epoch that came late.
  pending_ = LeaseWrite{};
}

void Lease::watched(const std::optional<LeaseRecord>& found, Milliseconds ended_ms) {
  if (!seen_any_ || seen_ != found) {
    seen_any_ = true;
    seen_ = found;
    still_since_ms_ = ended_ms;
    fenced_ = false;
  }
  const Claim claim = claim_on(found);
  if (claim == Claim::never) {
    phase_ = LeasePhase::superseded;
  } else if (claim == Claim::now) {
    take(claim, !found);
  } else if (claim == Claim::contested || allowed_ms_ - still_since_ms_ >= times_.take_ms) {
    fence_due_ = !fenced_ && may_be_written_by_others(found);
    if (fence_due_) next_read_ms_ = ended_ms;
    if (!fence_due_) take(claim, !found);
  }
}

// What was held here is known to be nobody else's when its record is lost.
bool Lease::may_be_written_by_others(const std::optional<LeaseRecord>& found) const {
  if (!found || found->owner.empty()) return !was_held();
  return found->owner != host_id_ || (!found->heir.empty() && found->heir != host_id_);
}

void Lease::fence_done(const Result<void>& result, Milliseconds ended_ms) {
  if (phase_ != LeasePhase::watching || !std::exchange(fence_due_, false)) return;
  fenced_ = result.has_value();
  // It was long ago that it was seen: it is read again.
  next_read_ms_ = fenced_ ? ended_ms : ended_ms + times_.renew_ms;
  trouble_ = result ? Error{} : result.error();
}

void Lease::take(Claim claim, bool create) {
  phase_ = LeasePhase::settling;
  claim_ = claim;
  settled_at_ms_ = 0;
  pending_ = LeaseWrite{.create = create};
}

void Lease::settled(const std::optional<LeaseRecord>& found) {
  if (!is_ours(found)) {
    win_anew();
  } else if (claim_ == Claim::contested) {
    // Whoever was given it is dead by now; what was taken so long ago gives no right any more, so it is taken again.
    take(Claim::watch, false);
  } else {
    phase_ = LeasePhase::held;
    renewed_ms_ = taken_ms_;
    pending_ = LeaseWrite{};
  }
}

void Lease::write_done(const Result<void>& result, Milliseconds ended_ms) {
  if (!result) trouble_ = result.error();
  unsure_ = !result;
  const bool gives = phase_ == LeasePhase::giving;
  if (gives && names_heir_) {
    gave(result.has_value(), ended_ms);
  } else if (phase_ == LeasePhase::settling) {
    took(result.has_value(), ended_ms);
  } else if ((gives || phase_ == LeasePhase::held) && result) {
    trouble_ = {};
    renewed_ms_ = asked_ms_;
    next_read_ms_ = asked_ms_ + times_.renew_ms;
  }
}

void Lease::gave(bool written, Milliseconds ended_ms) {
  if (written && ended_ms < pause_at_ms()) {
    phase_ = LeasePhase::given;
    return;
  }
  win_anew();
  next_read_ms_ = ended_ms + times_.renew_ms;
}

void Lease::took(bool written, Milliseconds ended_ms) {
  // One that took long may have come after another's.
  if (!written || ended_ms - allowed_ms_ > times_.write_ms) {
    win_anew();
    next_read_ms_ = ended_ms + times_.renew_ms;
    return;
  }
  if (claim_ == Claim::now) {
    phase_ = LeasePhase::held;
    was_given_ = false;
    came_ = false;
    renewed_ms_ = asked_ms_;
    next_read_ms_ = asked_ms_ + times_.renew_ms;
    return;
  }
  const bool contested = claim_ == Claim::contested;
  settled_at_ms_ = ended_ms + (contested ? times_.write_ms + times_.kill_ms + times_.renew_ms : times_.settle_ms);
  taken_ms_ = asked_ms_;
}

// ---- what the guest may do

LeaseRight Lease::right(Milliseconds now_ms) const {
  if (phase_ == LeasePhase::superseded || phase_ == LeasePhase::idle || phase_ == LeasePhase::given) {
    return LeaseRight::none;
  }
  return phase_ == LeasePhase::held && now_ms < pause_at_ms() ? LeaseRight::run : LeaseRight::paused;
}

std::string Lease::obstacle(Milliseconds now_ms) const {
  if (right(now_ms) == LeaseRight::run) return {};
  if (phase_ == LeasePhase::superseded) return "it belongs to " + (seen_ ? name_of(*seen_) : "another host");
  if (!trouble_.summary.empty()) return "its record cannot be used: " + trouble_.to_text();
  if (phase_ == LeasePhase::watching && seen_any_) {
    const Milliseconds left_ms = times_.take_ms - (now_ms - still_since_ms_);
    return (seen_ ? name_of(*seen_) + " may still run it" : std::string("its record is missing")) + ": taken in " +
           seconds(left_ms) + " if nothing changes";
  }
  if (phase_ == LeasePhase::settling && settled_at_ms_ != 0) {
    return "it was just taken: ours in " + seconds(settled_at_ms_ - now_ms) + " if nobody else takes it";
  }
  if (is_given_away()) return "it was signed over to host " + heir_ + " at epoch " + std::to_string(heir_epoch_);
  return phase_ == LeasePhase::given ? "it is not wanted here" : "its record was not read yet";
}

// ---- from one process to the next

LeaseMemory Lease::memory() const {
  return {.epoch = epoch_,
          .held = phase_ == LeasePhase::held,
          .given_to_itself = phase_ == LeasePhase::given && heir_ == host_id_ && heir_epoch_ == epoch_,
          .counter = counter_,
          .renewed_ms = renewed_ms_};
}

void Lease::resume(const LeaseMemory& memory) {
  counter_ = std::max(counter_, memory.counter);
  renewed_ms_ = memory.renewed_ms;
  // The process before may have had a write under way.
  unsure_ = memory.held;
  if (memory.held) phase_ = LeasePhase::held;
  if (memory.given_to_itself) {
    phase_ = LeasePhase::given;
    heir_ = host_id_;
    heir_epoch_ = epoch_;
  }
}

}  // namespace gantry::host
