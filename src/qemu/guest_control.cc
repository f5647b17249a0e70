// The part of Guest that speaks with a running QEMU.
#include <fcntl.h>

#include <utility>

#include "model/printable_text.h"
#include "qemu/command_line.h"
#include "qemu/disk_copy.h"
#include "qemu/guest.h"
#include "qemu/guest_directory.h"
#include "qemu/held.h"
#include "qemu/move_out.h"
#include "qemu/process_facts.h"
#include "runtime/event_loop.h"

namespace gantry::qemu {
namespace {

// A command may wait for the guest's disks.
constexpr Milliseconds kCommandTimeoutMs = 30'000;
constexpr Milliseconds kReconnectMs = 1'000;
constexpr std::size_t kStatusBytesMax = 40;
constexpr Milliseconds kResetTimeoutMs = 10'000;

}  // namespace

void Guest::open_qmp(UniqueFd connected) {
  qmp_ = QmpConnection::open(engine_->loop, std::move(connected),
                             {.on_event =
                                  [weak = weak_from_this()](const QmpEvent& event) {
                                    if (const auto self = weak.lock()) self->take_event(event);
                                  },
                              .on_closed =
                                  [weak = weak_from_this()](const Error&) {
                                    const auto self = weak.lock();
                                    if (!self) return;
                                    self->qmp_.reset();
                                    // The usual cause is that QEMU ends, which its pidfd tells.
                                    if (!self->starting_) self->reconnect();
                                  }});
}

void Guest::reconnect() {
  engine_->loop.post_after(kReconnectMs, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self || self->process_ != Process::alive || self->qmp_) return;
    self->on_worker<Result<UniqueFd>>(
        [path = GuestDirectory(self->engine_->options.state_directory, self->vm_id_).qmp_socket()] {
          return connect_unix(path);
        },
        [guest = self.get()](Result<UniqueFd> connected) {
          if (guest->process_ != Process::alive || guest->qmp_) return;
          if (!connected) {
            guest->reconnect();
            return;
          }
          guest->open_qmp(std::move(*connected));
          guest->ask_status([guest](const std::string& status) { guest->take_status(status); });
        });
  });
}

void Guest::command(std::string_view name, Reply reply, const std::string& arguments) {
  if (!qmp_) {
    reply(fail(ErrorCode::unavailable, "cannot reach the QEMU process of virtual machine " + vm_id_,
               "its control connection is being opened again", "try again in a few seconds"));
    return;
  }
  qmp_->execute(name, arguments, kCommandTimeoutMs,
                [weak = weak_from_this(), reply = std::move(reply)](const Result<std::string>& answer) {
                  if (const auto self = weak.lock()) reply(answer);
                });
}

void Guest::ask_status(std::function<void(const std::string& status)> then) {
  // That the process is ours was seen by its lock, number and start; this asks the one at the socket who it is.
  command("query-uuid", [this](const Result<std::string>& reply) {
    if (!reply || json_member(*reply, "UUID") == guest_uuid(vm_id_) || !qmp_) return;
    std::exchange(qmp_, nullptr)->close();
    reconnect();
  });
  command("query-status", [this, then = std::move(then)](const Result<std::string>& reply) {
    if (reply) {
      then(model::printable_text(json_member(*reply, "status").value_or(""), kStatusBytesMax));
      return;
    }
    // The process ends, or it is reached again, or the time of its adoption is over: each will tell more.
    if (resetting_) reset_done(fail(reply.error()));
  });
}

void Guest::take_status(const std::string& status) {
  const bool runs = status == "running";
  if (record_->forced) {
    begin_kill();
    publish();
    answer_adoption();
  } else if (record_->phase == GuestRecord::Phase::receiving && !runs) {
    take_moving_status(status);
  } else if (record_->phase == GuestRecord::Phase::starting && !runs) {
    run_processors();
  } else if (record_->phase == GuestRecord::Phase::starting) {
    processors_run();
  } else if (record_->phase == GuestRecord::Phase::receiving) {
    take_found_taken_over();
  } else if (moving_ == Moving::no && !resetting_ && has_open_copy() && !disk_copy_) {
    settle_copy(status);
  } else if (record_->phase == GuestRecord::Phase::resetting && !resetting_) {
    resetting_ = true;
    reset_error_.reset();
    paused_ = !record_->resume_after_reset;
    continue_reset(status);
  } else if (moving_ == Moving::sent && runs) {
    went_on();
  } else if (moving_ == Moving::no) {
    watch_agent();
    take_moving_status(status);
  }
}

// A guest whose disk could not be written for want of space stands until it is let run again, which repeats the write
// (werror=enospc, QEMU's default). The disk is asked for because a QEMU that was adopted had told of it before.
void Guest::look_why_held(const std::string& status, std::function<void()> then) {
  const auto tell = [this, status, then = std::move(then)](const std::string& blocks) {
    paused_ = status != "running";
    v1::Problem held = why_held(vm_id_, status, blocks);
    if (!held.code().empty()) {
      if (held.code() == held_.code()) {
        *held.mutable_since() = held_.since();
      } else {
        held.mutable_since()->set_seconds(engine_->loop.now().unix_ms / 1000);
      }
    }
    held_ = std::move(held);
    publish();
    then();
  };
  if (status != "io-error") {
    tell({});
    return;
  }
  command("query-block", [this, tell, stops = stops_](const Result<std::string>& reply) {
    if (stops == stops_) {
      tell(reply.value_or(""));
    } else {
      answer_adoption();
    }
  });
}

void Guest::take_event(const QmpEvent& event) {
  if (event.name == "SHUTDOWN") {
    shutting_down_ = true;
  } else if (event.name == "RESET") {
    reset_happened();
  } else if (move_out_ && (event.name.rfind("MIGRATION", 0) == 0 || event.name.rfind("BLOCK_JOB_", 0) == 0)) {
    move_out_->take_event(event);
  } else if (disk_copy_ && event.name.rfind("BLOCK_JOB_", 0) == 0) {
    disk_copy_->take_event(event);
  } else if (event.name == "MIGRATION" && (moving_ == Moving::receiving || fetching_)) {
    take_incoming(json_member(event.data, "status").value_or(""));
  } else if (event.name == "STOP" || event.name == "RESUME") {
    // Those of a start, a reset or an end are no news.
    if (shutting_down_ || resetting_ || starting_) return;
    if (moving_ == Moving::sent && event.name == "RESUME") return went_on();
    if (moving_ != Moving::no || (disk_copy_ && disk_copy_->holds())) return;
    if (record_->phase == GuestRecord::Phase::starting || record_->phase == GuestRecord::Phase::receiving) return;
    ++stops_;
    if (event.name == "RESUME") {
      held_.Clear();
      if (std::exchange(paused_, false)) publish();
      return;
    }
    ask_status([this, stops = stops_](const std::string& status) {
      if (stops == stops_) look_why_held(status, [] {});
    });
  }
}

Result<void> Guest::check_runs(const char* wish) const {
  if (resetting_) {
    return fail(ErrorCode::unavailable, "virtual machine " + vm_id_ + " is being reset", {}, "try again soon");
  }
  if (moving_ != Moving::no) {
    return fail(ErrorCode::conflict, std::string("cannot ") + wish + " virtual machine " + vm_id_,
                "it is being moved to another host, or was", "try again when the move is over", "moving");
  }
  const bool ran =
      record_ && record_->phase != GuestRecord::Phase::starting && record_->phase != GuestRecord::Phase::receiving;
  if (process_ == Process::alive && ran && ending_ == Ending::no) return {};
  return fail(ErrorCode::conflict, std::string("cannot ") + wish + " virtual machine " + vm_id_, "it does not run",
              "start it first", "not_running");
}

void Guest::power_down(port::Done done) {
  if (auto runs = check_runs("power down"); !runs) {
    done(runs);
    return;
  }
  operation_ = std::move(done);
  command("system_powerdown",
          [this](const Result<std::string>& reply) { answer_operation(reply ? Result<void>() : fail(reply.error())); });
}

void Guest::pause(port::Done done) {
  if (auto runs = check_runs("pause"); !runs) {
    done(runs);
    return;
  }
  operation_ = std::move(done);
  command("stop", [this](const Result<std::string>& reply) {
    if (reply && !std::exchange(paused_, true)) publish();
    answer_operation(reply ? Result<void>() : fail(reply.error()));
  });
}

void Guest::resume(port::Done done) {
  if (auto runs = check_runs("resume"); !runs) {
    done(runs);
    return;
  }
  operation_ = std::move(done);
  if (record_->phase == GuestRecord::Phase::resetting) {
    // What a reset left that could not be brought to its end.
    resetting_ = true;
    reset_error_.reset();
    record_->resume_after_reset = true;
    ask_status([this](const std::string& status) { continue_reset(status); });
    return;
  }
  command("cont", [this, stops = stops_](const Result<std::string>& reply) {
    // Its events tell of it before; one that could not go on is stopped again by now.
    if (reply && stops == stops_ && std::exchange(paused_, false)) publish();
    answer_operation(reply ? Result<void>() : fail(reply.error()));
  });
}

// A reset is done exactly once, although its command, its effect and its record cannot be one step: the guest is
// stopped first, and QEMU's run state is then "paused" before and "prelaunch" after the reset, until the guest is let
// run again (main_loop_should_exit in QEMU's softmmu/runstate.c). Whoever finds a record in phase `resetting` thus
// knows what is left to do:
//   reset_id != reset_wanted, "running":   nothing was done yet
//                             "paused":    stopped, not reset
//                             "prelaunch": reset, not written down
//   reset_id == reset_wanted:              only to be let run again
//   reset_given_up, not "prelaunch":       only to be let run again, as if nothing had been asked
// A guest that has not run since its last reset is "prelaunch" already; to reset it again would change nothing.
void Guest::reset(const std::string& reset_id, port::Done done) {
  if (auto runs = check_runs("reset"); !runs) {
    done(runs);
    return;
  }
  if (record_->reset_id == reset_id && record_->phase == GuestRecord::Phase::running) {
    done({});
    return;
  }
  operation_ = std::move(done);
  resetting_ = true;
  reset_error_.reset();
  if (record_->phase != GuestRecord::Phase::resetting) record_->resume_after_reset = !paused_;
  record_->phase = GuestRecord::Phase::resetting;
  record_->reset_wanted = reset_id;
  record_->reset_given_up = false;
  begin_reset();
}

void Guest::begin_reset() {
  save_record([this](const Result<void>& saved) {
    if (saved) {
      ask_status([this](const std::string& status) { continue_reset(status); });
    } else {
      reset_failed(saved.error());
    }
  });
}

void Guest::continue_reset(const std::string& status) {
  if (record_->reset_id == record_->reset_wanted) {
    end_reset(status);
  } else if (record_->reset_given_up && status != "prelaunch") {
    undo_reset(status);
  } else if (status == "running") {
    command("stop", [this](const Result<std::string>& reply) {
      if (reply) {
        continue_reset("paused");
      } else {
        reset_failed(reply.error());
      }
    });
  } else if (status == "prelaunch") {
    std::string before = std::exchange(record_->reset_id, record_->reset_wanted);
    save_record([this, status, before = std::move(before)](const Result<void>& saved) {
      if (saved) {
        end_reset(status);
      } else {
        // The guest stands until it is known for good that this was done: it may do nothing that a second reset undoes.
        record_->reset_id = before;
        reset_done(saved);
      }
    });
  } else {
    reset_event_due_ = true;
    command("system_reset", [this](const Result<std::string>& reply) {
      if (!reply && reset_event_due_) reset_failed(reply.error());
    });
    reset_timer_.arm(kResetTimeoutMs, [this] {
      const auto self = shared_from_this();
      reset_failed({ErrorCode::timed_out, "QEMU did not reset virtual machine " + vm_id_});
    });
  }
}

void Guest::reset_happened() {
  if (!std::exchange(reset_event_due_, false)) return;
  reset_timer_.disarm();
  ask_status([this](const std::string& status) {
    if (status == "prelaunch") {
      continue_reset(status);
    } else {
      reset_failed({ErrorCode::internal, "virtual machine " + vm_id_ + " is \"" + status + "\" after its reset"});
    }
  });
}

void Guest::end_reset(const std::string& status) {
  if (status != "prelaunch" || !record_->resume_after_reset) {
    record_->phase = GuestRecord::Phase::running;
    paused_ = status != "running";
    keep_record();
    reset_done({});
    return;
  }
  command("cont", [this](const Result<std::string>& reply) {
    if (reply) {
      end_reset("running");
    } else {
      reset_done(fail(reply.error()));
    }
  });
}

void Guest::reset_failed(const Error& why) {
  reset_event_due_ = false;
  reset_timer_.disarm();
  reset_error_ = why;
  record_->reset_given_up = true;
  ask_status([this](const std::string& status) { continue_reset(status); });
}

void Guest::undo_reset(const std::string& status) {
  if (status == "paused" && record_->resume_after_reset) {
    command("cont", [this](const Result<std::string>& reply) {
      if (reply) {
        undo_reset("running");
      } else {
        reset_done(fail(reply.error()));
      }
    });
    return;
  }
  record_->phase = GuestRecord::Phase::running;
  keep_record();
  look_why_held(status, [this] { reset_done(reset_error_ ? fail(*reset_error_) : Result<void>()); });
}

void Guest::reset_done(const Result<void>& answer) {
  resetting_ = false;
  reset_event_due_ = false;
  reset_timer_.disarm();
  if (process_ == Process::alive) {
    if (record_->phase == GuestRecord::Phase::resetting) {
      // It stands, or QEMU does not say how: whoever wants it to run asks for that, and it is brought to its end then.
      paused_ = true;
      keep_record();
    }
    watch_agent();
    publish();
  }
  answer_operation(answer);
  answer_adoption();
}

// It is this process's child, and nobody asks how it ended. One that an agent before this one started is not.
void Guest::take_tpm(UniqueFd pidfd) {
  if (!pidfd.valid()) return;
  const auto process = std::make_shared<UniqueFd>(std::move(pidfd));
  UniqueFd watched(::fcntl(process->get(), F_DUPFD_CLOEXEC, 0));
  tpm_watch_ = watch_readable(engine_->loop, std::move(watched), [process] { static_cast<void>(reap(*process)); });
}

}  // namespace gantry::qemu
