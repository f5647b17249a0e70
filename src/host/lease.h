// The right of one host to run one VM, kept as a small record on the pool that holds its disks: the step machine of one
// such lease, as the sentinel runs it. No clock and no I/O: whoever drives it reads and writes the record and pauses or
// ends the guest as told.
//
// Why it is safe. A host may hold the lease only at the epoch that the manager gave it; each epoch is one host's alone.
// A holder counts its right from the moment that its last *completed* write was asked for (next()); the guest is paused
// pause_ms after that and does nothing any more after kill_ms.
// * Another host takes it only after it watched the record stand still for take_ms on its own clock, counted from the
//   end of the read that saw it first to the beginning of the last. A renewal may be under way unseen all that time,
//   but was asked for less than pause_ms after the one that is seen, so its right ends pause_ms + kill_ms after that
//   one: take_ms + settle_ms is longer, by more than clocks drift.
// * Writes may come late and undo another's. So whoever took it must still find its own record after settle_ms; each
//   renewal reads before it writes; and one whose right lapsed must win it anew like a stranger, even if the record
//   names it.
// * A write that takes the lease counts only when it ended within write_ms of the read that allowed it: so of two that
//   took it at once, the earlier sees the later's record when it settles.
// * The owner of a record with an heir writes no more. The heir takes it at once and without settling only if the owner
//   said that the write had ended in time: a record with an heir may have come late itself. Anybody else, and an heir
//   that was not told, settles until an heir that came first would be dead, and then once more as ever.
// * Whoever takes another's lease by silence first has the pool refuse what that one's guest may yet write, where the
//   pool can do so (LeaseStep::fence), and reads the record once more after it. That comes before the take, since the
//   record would not tell a next process that it was still to be done. The times above hold with or without it.
// * On a private pool nobody else can have it: what this host left itself is taken at once.
// * An heir that was told and finds no record takes it at once, once: the owner had its own on another pool. Only one
//   of two can make a record, so whoever has a higher epoch since is seen.
// (After Chockler and Malkhi, "Light-Weight Leases for Storage-Centric Coordination", 2006. lease_model_test.cc tries
// it against the truth.)
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "base/result.h"
#include "base/time.h"
#include "host/lease_record.h"

namespace gantry::host {

struct LeaseTimes {
  Milliseconds renew_ms = 1'000;
  Milliseconds pause_ms = 5'000;
  Milliseconds kill_ms = 8'000;
  Milliseconds take_ms = 12'000;
  Milliseconds settle_ms = 3'000;
  Milliseconds write_ms = 1'500;
};

// What the guest may do now.
enum class LeaseRight {
  none,    // no process of it may be here
  paused,  // its processors must stand still
  run,
};

enum class LeasePhase {
  idle,        // nothing is wanted
  watching,    // until the record may be taken
  settling,    // taken; waiting to see whether it stays so
  held,        // the right is as old as the last renewal: see right()
  giving,      // the guest does not run; the record with the heir is to be written
  given,       // it names its heir
  superseded,  // somebody has or gets it at a higher epoch: never ours again at this one
};

struct LeaseWrite {
  LeaseRecord record = {};
  // There must be none yet; conflict otherwise.
  bool create = false;
};

// What the driver does next, when nothing of it is under way: at most one of these. With neither: come again at
// wake_ms.
struct LeaseStep {
  bool read = false;
  // The pool is to refuse whatever guests of other hosts may still write to the VM's disks, if the record is still
  // this one (nothing: if there is none). On a pool that cannot refuse it there is nothing to do.
  struct Fence {
    std::optional<LeaseRecord> record = {};
  };
  std::optional<Fence> fence = {};
  std::optional<LeaseWrite> write = {};
  Milliseconds wake_ms = 0;
};

// What a process that goes on in another's place must know.
struct LeaseMemory {
  // At which it was wanted.
  std::uint64_t epoch = 0;
  bool held = false;
  bool given_to_itself = false;
  std::uint64_t counter = 0;
  Milliseconds renewed_ms = 0;
};

// Times are of the driver's own monotonic clock, which must go on while the machine sleeps.
class Lease {
 public:
  explicit Lease(std::string host_id, const LeaseTimes& times = {}) : host_id_(std::move(host_id)), times_(times) {}

  // Begins to win the lease at that epoch, or goes on with it. `is_private`: no other host reaches the record.
  // `was_given`: its owner said that the record names us. An epoch below that of an earlier call is no longer wanted.
  void want(std::uint64_t epoch, bool is_private, bool was_given = false);
  // The guest does not run here, nor will it: gives the lease to that heir, or with the same host and epoch keeps it
  // for a later want() at once. Without effect unless it is held. May come while a read or write is under way.
  void give(const std::string& heir, std::uint64_t heir_epoch);

  // That is done from now on: the answer comes to read_done, fence_done or write_done before it is asked again.
  [[nodiscard]] LeaseStep next(Milliseconds now_ms);
  // Nothing: there is no record.
  void read_done(const Result<std::optional<LeaseRecord>>& result, Milliseconds ended_ms);
  void write_done(const Result<void>& result, Milliseconds ended_ms);
  void fence_done(const Result<void>& result, Milliseconds ended_ms);

  [[nodiscard]] LeaseRight right(Milliseconds now_ms) const;
  // Until when the guest may run if nothing is renewed.
  [[nodiscard]] Milliseconds pause_at_ms() const { return renewed_ms_ + times_.pause_ms; }
  // A guest that is not known to stand still must not do anything from then on; 0: it never ran here.
  [[nodiscard]] Milliseconds kill_at_ms() const { return renewed_ms_ == 0 ? 0 : renewed_ms_ + times_.kill_ms; }
  [[nodiscard]] LeasePhase phase() const { return phase_; }
  [[nodiscard]] bool is_given_away() const { return phase_ == LeasePhase::given && heir_ != host_id_; }
  [[nodiscard]] std::uint64_t epoch() const { return epoch_; }
  // It was held at this epoch once.
  [[nodiscard]] bool was_held() const { return renewed_ms_ != 0; }
  // Why the guest may not run, in a clause; empty when it may.
  [[nodiscard]] std::string obstacle(Milliseconds now_ms) const;

  [[nodiscard]] LeaseMemory memory() const;
  // After want(): goes on with what a process on the same machine that is gone had.
  void resume(const LeaseMemory& memory);

 private:
  enum class Claim {
    never,     // it is beyond our epoch
    watch,     // its owner may run the guest: once it stood still for take_ms
    now,       // nobody else can have a right to it
    contested  // somebody was given it and may come at any moment
  };
  enum class Step { none, read, write };

  [[nodiscard]] Claim claim_on(const std::optional<LeaseRecord>& found) const;
  void win_anew();
  void watched(const std::optional<LeaseRecord>& found, Milliseconds ended_ms);
  [[nodiscard]] bool may_be_written_by_others(const std::optional<LeaseRecord>& found) const;
  void take(Claim claim, bool create);
  void settled(const std::optional<LeaseRecord>& found);
  void renew(const std::optional<LeaseRecord>& found);
  void gave(bool written, Milliseconds ended_ms);
  void took(bool written, Milliseconds ended_ms);
  [[nodiscard]] bool is_ours(const std::optional<LeaseRecord>& found) const;
  [[nodiscard]] LeaseRecord new_record();

  std::string host_id_;
  LeaseTimes times_;
  LeasePhase phase_ = LeasePhase::idle;
  std::uint64_t epoch_ = 0;
  bool is_private_ = false;
  bool was_given_ = false;
  // By another host: that may have written so on a pool of its own, and nothing here.
  bool came_ = false;
  // When the read or write under way was asked for.
  Milliseconds asked_ms_ = 0;
  // The last read while watching, and since when it has stood so.
  bool seen_any_ = false;
  std::optional<LeaseRecord> seen_;
  Milliseconds still_since_ms_ = 0;
  // While it stood so.
  bool fence_due_ = false;
  bool fenced_ = false;
  Milliseconds next_read_ms_ = 0;
  // To be written as soon as the driver comes; `allowed_ms_` is when the read that allows it was asked for.
  std::optional<LeaseWrite> pending_;
  Milliseconds allowed_ms_ = 0;
  Claim claim_ = Claim::never;
  Milliseconds taken_ms_ = 0;
  Milliseconds settled_at_ms_ = 0;
  std::uint64_t counter_ = 0;
  // When the last completed write that counts was asked for; 0: never.
  Milliseconds renewed_ms_ = 0;
  std::string heir_;
  std::uint64_t heir_epoch_ = 0;
  // The heir's record was asked to be written: what is under way before is a renewal yet.
  bool names_heir_ = false;
  // A write failed since the record was last seen: it may be that one or the one before.
  bool unsure_ = false;
  Error trouble_;
};

}  // namespace gantry::host
