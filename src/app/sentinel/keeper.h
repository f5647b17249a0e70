// All leases that this host wants and the guests under them: renews, pauses, freezes, lets go on, kills. What is done
// is decided by host::Lease and host::plan_guard; here it is carried out.
//
// Threads: all on the loop's. Reads and writes of a record are done on the thread of its place's lane.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "app/sentinel/guest_process.h"
#include "app/sentinel/lease_place.h"
#include "app/sentinel/pool_threads.h"
#include "app/sentinel/wire.h"
#include "host/guard.h"
#include "host/lease.h"
#include "runtime/boot_clock.h"
#include "runtime/event_loop.h"

namespace gantry::sentinel {

// Who has the guard open lets the guest's process run: it is a FIFO that QEMU reads from, and the kernel freezes QEMU
// when nobody has it open for writing any more.
std::string guard_path(const std::string& state_directory, const std::string& vm_id);
// Makes it where there is none.
Result<UniqueFd> hold_guard(const std::string& path);
Result<UniqueFd> open_guard(const std::string& path);

class Keeper {
 public:
  Keeper(runtime::EventLoop& loop, runtime::BootTimer timer, std::string state_directory);

  // Told of every lease whose state or reason changed.
  std::function<void(const port::LeaseObservation&)> observer;
  // Something that another process would have to know has changed.
  std::function<void()> changed;

  void take_over(const Handover& handover);
  void want(const port::LeaseWish& wish);
  // Waits a moment for a process that is about to go.
  void remove(const port::LeaseWish& wish, std::function<void(Result<void>)> done, int tries = 30);

  [[nodiscard]] Handover handover() const;
  // A process of some guest lives, or may.
  [[nodiscard]] bool guards_any() const;
  // Nobody wants anything any more: signs back what no guest needs. False: there is still something to sign.
  bool rest();

 private:
  struct Guarded {
    Guarded(const port::LeaseWish& wanted, Milliseconds now_ms)
        : wish(wanted), lease(wanted.host_id), wanted_at_ms(now_ms) {}
    port::LeaseWish wish;
    host::Lease lease;
    std::shared_ptr<LeasePlace> place;
    Milliseconds wanted_at_ms;
    // A read or write of the record, or a fence, is under way. One that hangs holds up the next, nothing else.
    bool io = false;
    bool looking = false;
    // That began before the last wish, perhaps before the process did.
    bool looked_too_early = false;
    // Whether a process is there was seen since the last wish.
    bool looked = false;
    Milliseconds look_at_ms = 0;
    // Why that could not be seen last.
    std::string look_trouble;
    std::shared_ptr<GuestProcess> process;
    host::GuardState guard;
    UniqueFd held_guard;
    // may_go_on(), when it was looked at last.
    bool might_go_on = false;
    std::optional<port::LeaseObservation> told;
    // When it is to be looked at next; 0: at once.
    Milliseconds due_ms = 0;
  };

  // Those that are due.
  void step();
  void step_now(const std::string& vm_id);
  [[nodiscard]] static bool is_done_with(const Guarded& ward);
  void forget_done();
  void tell_changed();
  Milliseconds step(const std::string& vm_id, Guarded& ward, Milliseconds now_ms);
  Milliseconds drive_lease(const std::string& vm_id, Guarded& ward, Milliseconds now_ms);
  // Of the lease's next(), on that thread; `take` hears the result.
  template <class Call, class Take>
  void ask(const std::string& vm_id, Guarded& ward, const std::string& thread, Call call, Take take);
  Milliseconds fence(const std::string& vm_id, Guarded& ward, const host::LeaseStep::Fence& order, Milliseconds now_ms);
  static void sign_over(Guarded& ward);
  void look(const std::string& vm_id, Guarded& ward, Milliseconds now_ms);
  void found(const std::string& vm_id, Result<std::optional<FoundProcess>> process);
  [[nodiscard]] host::LeaseRight right_of(const Guarded& ward, Milliseconds now_ms) const;
  [[nodiscard]] static bool serves(const Guarded& ward);
  [[nodiscard]] static bool may_go_on(const Guarded& ward, host::LeaseRight right);
  [[nodiscard]] static bool waits_for_agent(const Guarded& ward, Milliseconds now_ms);
  void guard(const std::string& vm_id, Guarded& ward, host::LeaseRight right, Milliseconds now_ms);
  void stop(const std::string& vm_id, Guarded& ward, Milliseconds now_ms);
  void thaw(Guarded& ward);
  void hold_or_drop_guard(const std::string& vm_id, Guarded& ward, host::LeaseRight right, Milliseconds now_ms) const;
  void tell(const std::string& vm_id, Guarded& ward, Milliseconds now_ms) const;
  [[nodiscard]] port::LeaseObservation observation_of(const std::string& vm_id, const Guarded& ward,
                                                      Milliseconds now_ms) const;
  void describe_incoming(const Guarded& ward, Milliseconds now_ms, port::LeaseObservation& seen) const;
  [[nodiscard]] static bool is_over(const Guarded& ward);
  void wait_until(Milliseconds at_ms);
  Guarded* find(const std::string& vm_id);

  runtime::EventLoop& loop_;
  runtime::BootTimer timer_;
  std::unique_ptr<qemu::ReadableWatch> timer_watch_;
  // One watch is for all times that are set until it has called back.
  bool timer_is_watched_ = false;
  std::string state_directory_;
  LeasePlaces places_;
  PoolThreads pools_;
  // For the state directory.
  PoolThreads files_;
  std::map<std::string, std::unique_ptr<Guarded>> wards_;
  bool changes_ = false;
};

}  // namespace gantry::sentinel
