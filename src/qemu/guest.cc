#include "qemu/guest.h"

#include <fcntl.h>
#include <signal.h>

#include <algorithm>
#include <utility>

#include "qemu/cgroup.h"
#include "qemu/console_hub.h"
#include "qemu/disk_copy.h"
#include "qemu/guest_agent.h"
#include "qemu/guest_directory.h"
#include "qemu/move_out.h"
#include "qemu/process_facts.h"
#include "runtime/event_loop.h"
#include "runtime/worker_pool.h"

namespace gantry::qemu {
namespace {

// How long writing down that it is forced to end may hold that up.
constexpr Milliseconds kForcedSaveTimeoutMs = 1'000;
// How long QEMU has to flush and go by itself.
constexpr Milliseconds kQuitTimeoutMs = 3'000;
// After SIGKILL; longer only when a disk hangs in the kernel.
constexpr Milliseconds kKillTimeoutMs = 30'000;
constexpr Milliseconds kConsoleAgainMostMs = 30'000;
constexpr Milliseconds kSaveAgainMs = 3'000;

Error start_error(const std::string& vm_id, std::string cause) {
  return {ErrorCode::unavailable, "QEMU could not start virtual machine " + vm_id, std::move(cause),
          "put right what it says and start it again", "start_failed"};
}

}  // namespace

Guest::Guest(std::shared_ptr<const Engine> engine, std::string vm_id)
    : engine_(std::move(engine)),
      vm_id_(std::move(vm_id)),
      end_timer_(engine_->loop),
      reset_timer_(engine_->loop),
      console_timer_(engine_->loop),
      save_timer_(engine_->loop),
      find_timer_(engine_->loop),
      fetch_timer_(engine_->loop) {}

Guest::~Guest() {
  if (qmp_) qmp_->close();
}

void Guest::start(const port::GuestDefinition& guest, port::Done done) {
  if (process_ != Process::none) {
    const bool same = record_ && record_->boot_id == guest.boot_id && process_ == Process::alive;
    if (same && record_->phase != GuestRecord::Phase::starting) {
      done({});
    } else {
      done(fail(ErrorCode::conflict, "cannot start virtual machine " + vm_id_,
                same ? "it is starting already" : "a process of another boot of it lives", "stop it first",
                "guest_process_lives"));
    }
    return;
  }
  if (record_ && record_->boot_id == guest.boot_id) {
    done(fail(ErrorCode::conflict, "cannot start virtual machine " + vm_id_, "this boot of it has ended already",
              "start it anew", "boot_ended"));
    return;
  }
  process_ = Process::launching;
  starting_ = true;
  start_error_.reset();
  shutting_down_ = false;
  paused_ = false;
  held_.Clear();
  operation_ = std::move(done);
  GuestRecord record{.vm_id = vm_id_, .boot_id = guest.boot_id};
  if (record_) record.reset_id = record_->reset_id;
  record_ = std::move(record);
  publish();
  on_worker<Result<GuestProcess>>(
      [engine = engine_, guest, reset_id = record_->reset_id, now = engine_->loop.now()] {
        return launch_guest(*engine, guest, reset_id, false, now);
      },
      [this, guest](Result<GuestProcess> launched) { took_launched(std::move(launched), guest); });
}

void Guest::took_launched(Result<GuestProcess> launched, const port::GuestDefinition& guest) {
  if (launched) {
    record_ = launched->record;
    take_process(std::move(launched->pidfd));
    take_tpm(std::move(launched->tpm));
    attach_console(std::move(launched->serial), {});
    open_qmp(std::move(launched->qmp));
    if (kills_.empty()) {
      run_processors();
    } else {
      begin_kill();
    }
    return;
  }
  const Error why = launched.error();
  start_error_ = why;
  process_ = Process::ending;
  // The boot never began, and may yet.
  if (why.reason == "not_guarded" && kills_.empty()) {
    exit_settled(std::nullopt);
    return;
  }
  record_->phase = GuestRecord::Phase::ended;
  record_->boot_id = guest.boot_id;
  record_->exit.set_reason(kills_.empty() ? v1::VmExit::START_FAILED : v1::VmExit::FORCED);
  record_->exit.set_boot_id(guest.boot_id);
  record_->exit.set_last_words(why.to_text());
  record_->exit.mutable_at()->set_seconds(engine_->loop.now().unix_ms / 1000);
  // A process that lives has a record of its own, which must stay.
  if (why.reason == "guest_process_lives") {
    exit_settled(*record_);
    return;
  }
  save_record([this](const Result<void>&) { exit_settled(*record_); });
}

void Guest::take_process(UniqueFd pidfd) {
  process_ = Process::alive;
  pidfd_ = std::make_shared<UniqueFd>(std::move(pidfd));
  UniqueFd watched(::fcntl(pidfd_->get(), F_DUPFD_CLOEXEC, 0));
  exit_watch_ = watch_readable(engine_->loop, std::move(watched), [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->process_ended();
  });
}

void Guest::run_processors() {
  command("cont", [this](const Result<std::string>& reply) {
    if (reply) {
      processors_run();
    } else {
      start_failed(reply.error());
    }
  });
}

void Guest::processors_run() {
  record_->phase = GuestRecord::Phase::running;
  paused_ = false;
  // Until it is written, QEMU's own words and state tell the same.
  keep_record();
  watch_agent();
  publish();
  if (std::exchange(starting_, false)) answer_operation({});
  answer_adoption();
}

void Guest::start_failed(const Error& why) {
  if (process_ != Process::alive) return;
  start_error_ = start_error(vm_id_, why.to_text());
  force_end();
}

void Guest::kill(port::Done done) {
  if (process_ == Process::none) {
    done({});
    return;
  }
  if (process_ == Process::unknown) {
    done(fail(unknown_));
    return;
  }
  kills_.push_back(std::move(done));
  answer_operation(fail(ErrorCode::cancelled, "virtual machine " + vm_id_ + " is being forced to end"));
  // A launch under way looks for it at its end.
  if (process_ == Process::alive) begin_kill();
  if (process_ == Process::ending) end_timer_.arm(kKillTimeoutMs, [this] { end_is_late(); });
}

void Guest::begin_kill() {
  if (ending_ != Ending::no) return;
  ending_ = Ending::begun;
  record_->forced = true;
  // Written down first, so that its end is known to be forced whatever becomes of us; but storage that hangs is one of
  // the reasons to force a guest.
  end_timer_.arm(kForcedSaveTimeoutMs, [this] { ask_to_quit(); });
  save_record([this](const Result<void>&) { ask_to_quit(); });
}

void Guest::ask_to_quit() {
  if (process_ != Process::alive || ending_ != Ending::begun) return;
  if (!qmp_) {
    force_end();
    return;
  }
  ending_ = Ending::asked;
  // Accepted or not: what is still there then goes the hard way.
  end_timer_.arm(kQuitTimeoutMs, [this] { force_end(); });
  qmp_->execute("quit", {}, kQuitTimeoutMs, [](const Result<std::string>&) {});
}

void Guest::force_end() {
  if (process_ != Process::alive) return;
  send_signal(*pidfd_, SIGKILL);
  // Who asks once more waits no longer than who asked first.
  if (std::exchange(ending_, Ending::forced) == Ending::forced) return;
  end_timer_.arm(kKillTimeoutMs, [this] { end_is_late(); });
}

void Guest::end_is_late() {
  // An answer may let go of it.
  const auto self = shared_from_this();
  // The next to ask has it forced again and gets an answer too.
  ending_ = Ending::no;
  const auto late = process_ == Process::ending
                        ? fail(ErrorCode::timed_out, "the end of virtual machine " + vm_id_ + " is not written down",
                               "the host's state directory does not answer", "see to the host's storage")
                        : fail(ErrorCode::timed_out, "the QEMU process of " + vm_id_ + " does not end",
                               "the kernel waits for one of its disks", "see to the host's storage");
  answer_kills(late);
  answer_operation(late);
}

void Guest::process_ended() {
  process_ = Process::ending;
  exit_watch_.reset();
  console_timer_.disarm();
  end_timer_.arm(kKillTimeoutMs, [this] { end_is_late(); });
  agent_.reset();
  if (qmp_) std::exchange(qmp_, nullptr)->close();
  // One that the agent before us had not let begin yet, and that went with it, may be begun again; one that was to come
  // from another host never ran here.
  fetch_timer_.disarm();
  const bool unbegun =
      record_->phase == GuestRecord::Phase::receiving || (adopted_ && record_->phase == GuestRecord::Phase::starting);
  using Settled = Result<std::optional<GuestRecord>>;
  on_worker<Settled>(
      [engine = engine_, unbegun, record = *record_, pidfd = pidfd_, now = engine_->loop.now(),
       cause = std::exchange(last_cause_, {})]() -> Settled {
        if (!unbegun) return settle_exit(*engine, record, *pidfd, now, cause);
        auto found = find_guest(*engine, record.vm_id, now);
        if (!found) return fail(found.error());
        return std::move(found->record);
      },
      [this](Settled settled) {
        if (settled) {
          exit_settled(std::move(*settled));
          return;
        }
        GuestRecord record = *record_;
        record.phase = GuestRecord::Phase::ended;
        record.exit.set_reason(v1::VmExit::CRASH);
        record.exit.set_boot_id(record.boot_id);
        record.exit.set_last_words(settled.error().to_text());
        exit_settled(std::move(record));
      });
}

void Guest::exit_settled(std::optional<GuestRecord> record) {
  record_ = std::move(record);
  process_ = Process::none;
  pidfd_.reset();
  ending_ = Ending::no;
  end_timer_.disarm();
  reset_timer_.disarm();
  resetting_ = false;
  reset_event_due_ = false;
  if (moving_ != Moving::no) drop_move_key();
  moving_ = Moving::no;
  fetching_ = false;
  move_out_.reset();
  disk_copy_.reset();
  copy_settled_ = false;
  held_.Clear();
  facts_.Clear();
  publish();
  if (const auto listening = std::exchange(listening_, nullptr)) {
    listening(fail(ErrorCode::unavailable, "the process that waited for virtual machine " + vm_id_ + " ended",
                   record_ ? record_->exit.last_words() : std::string()));
  }
  if (std::exchange(starting_, false)) {
    if (!start_error_) start_error_ = start_error(vm_id_, {});
    if (record_ && start_error_->reason == "start_failed") start_error_->cause = record_->exit.last_words();
    answer_operation(fail(*start_error_));
  } else {
    answer_operation(fail(ErrorCode::conflict, "virtual machine " + vm_id_ + " has ended meanwhile"));
  }
  answer_kills({});
  answer_adoption();
}

void Guest::forget(port::Done done) {
  if (process_ != Process::none) {
    done(fail(ErrorCode::conflict, "cannot forget virtual machine " + vm_id_, "it still has a process",
              "stop it first"));
    return;
  }
  process_ = Process::ending;
  on_worker<Result<void>>(
      [engine = engine_, vm_id = vm_id_]() -> Result<void> {
        const GuestDirectory directory(engine->options.state_directory, vm_id);
        const auto lock = directory.lock();
        // Its directory may be gone already.
        if (!lock && lock.error().code != ErrorCode::not_found) return fail(lock.error());
        if (auto removed = directory.remove(); !removed) return removed;
        return engine->cgroups.remove(vm_id);
      },
      [this, done = std::move(done)](const Result<void>& removed) {
        process_ = Process::none;
        if (removed) {
          record_.reset();
          publish();
        }
        done(removed);
        end_timer_.disarm();
        answer_kills({});
      });
}

void Guest::trim_logs() {
  if (std::exchange(trimming_, true)) return;
  // After the step under way: a launch makes the logs anew.
  on_worker<Result<void>>(
      [directory = GuestDirectory(engine_->options.state_directory, vm_id_)]() -> Result<void> {
        directory.trim_logs();
        return {};
      },
      [this](const Result<void>&) { trimming_ = false; });
}

void Guest::attach_console(UniqueFd connected, std::string replay) {
  engine_->consoles.attach(vm_id_, std::move(connected), std::move(replay), [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->trim_logs();
  });
}

void Guest::find_console(std::string replay, Milliseconds again_ms) {
  console_timer_.arm(again_ms, [this, replay = std::move(replay), again_ms] {
    const auto path = GuestDirectory(engine_->options.state_directory, vm_id_).serial_socket();
    on_worker<Result<UniqueFd>>([path] { return connect_unix(path); },
                                [this, replay, again_ms, boot_id = record_->boot_id](Result<UniqueFd> connected) {
                                  if (process_ != Process::alive || record_->boot_id != boot_id) return;
                                  if (connected) {
                                    attach_console(std::move(*connected), replay);
                                  } else {
                                    find_console(replay, std::min(2 * again_ms, kConsoleAgainMostMs));
                                  }
                                });
  });
}

void Guest::watch_agent() {
  if (agent_) {
    agent_->hurry();
    return;
  }
  // It is ours and calls back no more once it is gone.
  agent_ = std::make_unique<GuestAgentPoller>(engine_->loop.context(),
                                              GuestDirectory(engine_->options.state_directory, vm_id_).agent_socket(),
                                              [this](const v1::GuestFacts& facts) {
                                                facts_ = facts;
                                                publish();
                                              });
}

port::GuestObservation Guest::observation() const {
  using State = port::GuestObservation::State;
  port::GuestObservation seen;
  seen.vm_id = vm_id_;
  if (process_ == Process::unknown) {
    seen.state = State::unknown;
    seen.problem.set_code(unknown_.word());
    seen.problem.set_summary(unknown_.summary);
    seen.problem.set_cause(unknown_.cause);
    seen.problem.set_next_step(unknown_.next_step);
  }
  if (process_ == Process::unknown || !record_) return seen;
  seen.boot_id = record_->boot_id;
  seen.reset_id = record_->reset_id;
  seen.accelerator = record_->accelerator;
  seen.started_unix_ms = record_->started_unix_ms;
  seen.cpus = record_->cpus;
  seen.memory_mib = record_->memory_mib;
  seen.guest = facts_;
  const bool is_open = process_ != Process::none && has_open_copy();
  seen.copies_disk = is_open;
  seen.fetching = fetching_ && process_ == Process::alive;
  if (!is_open && record_->disk_copy.phase == DiskCopyNote::Phase::switching) seen.disk_copy_id = record_->disk_copy.id;
  if (process_ == Process::none) {
    seen.state = State::ended;
    seen.exit = record_->exit;
  } else if (record_->phase == GuestRecord::Phase::starting) {
    seen.state = State::starting;
  } else if (record_->phase == GuestRecord::Phase::receiving) {
    seen.state = moving_ == Moving::received ? State::received : State::receiving;
  } else if (moving_ == Moving::sent) {
    seen.state = State::sent;
  } else {
    seen.state = paused_ ? State::paused : State::running;
    if (paused_) seen.problem = held_;
  }
  return seen;
}

void Guest::publish() {
  if (engine_->observer) engine_->observer(observation());
}

void Guest::answer_operation(const Result<void>& answer) {
  if (auto done = std::exchange(operation_, nullptr)) done(answer);
}

void Guest::answer_kills(const Result<void>& answer) {
  for (const auto& done : std::exchange(kills_, {})) done(answer);
}

void Guest::save_record(std::function<void(Result<void>)> then) {
  on_worker<Result<void>>([directory = GuestDirectory(engine_->options.state_directory, vm_id_),
                           record = *record_] { return directory.save(record); },
                          std::move(then));
}

void Guest::keep_record() {
  save_record([this](const Result<void>& saved) {
    if (saved || process_ != Process::alive) return;
    save_timer_.arm(kSaveAgainMs, [this] {
      if (process_ == Process::alive) keep_record();
    });
  });
}

void Guest::submit(std::function<std::function<void()>()> work) {
  engine_->workers.submit([engine = engine_, work = std::move(work)] { engine->loop.post(work()); });
}

void Guest::next_job() {
  job_runs_ = !jobs_.empty();
  if (!job_runs_) return;
  const auto job = std::move(jobs_.front());
  jobs_.pop_front();
  job();
}

}  // namespace gantry::qemu
