// The part of Guest that goes to another host, or comes from one.
#include <sys/stat.h>

#include <utility>

#include "model/limits.h"
#include "qemu/break_connections.h"
#include "qemu/guest.h"
#include "qemu/guest_directory.h"
#include "qemu/move_end.h"
#include "qemu/move_in.h"
#include "qemu/move_keys.h"
#include "qemu/move_out.h"
#include "qemu/process_facts.h"
#include "runtime/event_loop.h"
#include "runtime/report.h"

namespace gantry::qemu {
namespace {

// A second, and whatever a busy host adds.
constexpr Milliseconds kMeasureLookMs = 50;
constexpr int kMeasureLooks = 200;

std::string key_directory(const GuestDirectory& directory) { return directory.file("move"); }

// Whom QEMU runs as: what it may write in is that user's.
std::uint32_t user_of(const GuestDirectory& directory) {
  struct stat facts {};
  return ::stat(directory.file("run").c_str(), &facts) == 0 && facts.st_uid != ::geteuid() ? facts.st_uid : 0;
}

}  // namespace

GuestDirectory Guest::directory() const { return {engine_->options.state_directory, vm_id_}; }

// Ends with the process it is about.
MoveSession Guest::move_session() {
  const auto same = [weak = weak_from_this(), process = std::weak_ptr(pidfd_)]() -> std::shared_ptr<Guest> {
    auto self = weak.lock();
    const bool lives = self && self->process_ == Process::alive && self->pidfd_ == process.lock();
    return lives ? self : nullptr;
  };
  MoveSession session;
  session.execute = [same](std::string_view command, const std::string& arguments, QmpReply reply) {
    const auto self = same();
    if (!self) return;
    self->command(
        command,
        [same, reply = std::move(reply)](const Result<std::string>& answer) {
          if (same()) reply(answer);
        },
        arguments);
  };
  session.break_connections = [same](const v1::MoveAddress& target) {
    const auto self = same();
    if (!self) return;
    self->on_worker<Result<void>>(
        [process = self->pidfd_, pid = self->record_->pid, target] {
          return break_connections(process->get(), pid, target.host(), {target.port(), target.disk_port()});
        },
        [](const Result<void>& broken) {
          if (!broken) runtime::report_problem(broken.error().to_text());
        });
  };
  session.now_ms = [&loop = engine_->loop] { return loop.now().monotonic_ms; };
  session.after = [same, &loop = engine_->loop](Milliseconds delay_ms, std::function<void()> work) {
    loop.post_after(delay_ms, [same, work = std::move(work)] {
      if (same()) work();
    });
  };
  return session;
}

void Guest::drop_move_key() {
  on_worker<Result<void>>(
      [directory = key_directory(directory())]() -> Result<void> {
        remove_move_key(directory);
        return {};
      },
      [](const Result<void>&) {});
}

// ---- the target

void Guest::receive(const port::GuestDefinition& guest, const std::string& listen_address, const port::MoveTerms& terms,
                    port::ListeningDone done) {
  if (process_ != Process::none) {
    done(fail(ErrorCode::conflict, "cannot receive virtual machine " + vm_id_, "it has a process here already",
              "stop that first", "guest_process_lives"));
    return;
  }
  process_ = Process::launching;
  moving_ = Moving::receiving;
  shutting_down_ = false;
  paused_ = true;
  held_.Clear();
  listening_ = std::move(done);
  record_ = GuestRecord{.vm_id = vm_id_, .boot_id = guest.boot_id, .phase = GuestRecord::Phase::receiving};
  publish();
  on_worker<Result<Incoming>>(
      [engine = engine_, directory = directory(), guest, now = engine_->loop.now()]() -> Result<Incoming> {
        auto secret = make_move_secret();
        if (!secret) return fail(secret.error());
        auto launched = launch_guest(*engine, guest, {}, true, now);
        if (!launched) return fail(launched.error());
        if (auto written = write_move_key(key_directory(directory), *secret, guest.uid); !written) {
          send_signal(launched->pidfd, SIGKILL);
          return fail(written.error());
        }
        return Incoming{std::move(*launched), std::move(*secret)};
      },
      [this, listen_address, terms](Result<Incoming> launched) {
        wait_for_guest(std::move(launched), listen_address, terms);
      });
}

void Guest::wait_for_guest(Result<Incoming> launched, const std::string& listen_address, const port::MoveTerms& terms) {
  if (!launched) {
    if (const auto listening = std::exchange(listening_, nullptr)) listening(fail(launched.error()));
    // What it left is found as after a crash.
    process_ = Process::none;
    moving_ = Moving::no;
    look();
    answer_kills({});
    return;
  }
  record_ = launched->process.record;
  take_process(std::move(launched->process.pidfd));
  attach_console(std::move(launched->process.serial), {});
  open_qmp(std::move(launched->process.qmp));
  if (!kills_.empty()) {
    begin_kill();
    return;
  }
  MoveIn::Request request{.key_directory = key_directory(directory()),
                          .secret = std::move(launched->secret),
                          .listen_address = listen_address,
                          .terms = terms};
  const auto move = std::make_shared<MoveIn>(std::move(request), move_session(),
                                             [weak = weak_from_this()](const Result<v1::MoveAddress>& address) {
                                               if (const auto self = weak.lock()) self->listens(address);
                                             });
  move->begin();
}

void Guest::listens(const Result<v1::MoveAddress>& address) {
  if (address) move_port_ = address->port();
  if (const auto listening = std::exchange(listening_, nullptr)) listening(address);
  if (!address) force_end();
}

void Guest::is_received() {
  drop_move_key();
  moving_ = Moving::received;
  publish();
}

// ---- the source

void Guest::measure(std::function<void(Result<std::uint64_t>)> done) {
  if (auto runs = check_runs("measure"); !runs) {
    done(fail(runs.error()));
    return;
  }
  command(
      "calc-dirty-rate",
      [this, done = std::move(done)](const Result<std::string>& reply) {
        if (reply) {
          ask_dirty_rate(done, kMeasureLooks);
        } else {
          done(fail(reply.error()));
        }
      },
      R"({"calc-time": 1})");
}

void Guest::ask_dirty_rate(std::function<void(Result<std::uint64_t>)> done, int looks_left) {
  command("query-dirty-rate", [this, done = std::move(done), looks_left](const Result<std::string>& reply) {
    const auto answer = reply ? parse_answer(*reply) : nlohmann::ordered_json();
    if (text_in(answer, "status") == "measured") {
      done(number_in(answer, "dirty-rate") << 20U);
    } else if (!reply || looks_left == 0) {
      done(reply ? fail(ErrorCode::timed_out, "QEMU does not tell how fast the guest changes its memory")
                 : fail(reply.error()));
    } else {
      engine_->loop.post_after(kMeasureLookMs, [weak = weak_from_this(), done, looks_left] {
        if (const auto self = weak.lock()) self->ask_dirty_rate(done, looks_left - 1);
      });
    }
  });
}

void Guest::send(const port::MoveRequest& request, std::function<void(const port::MoveProgress&)> progress,
                 port::Done done) {
  if (auto runs = check_runs("move"); !runs) {
    done(runs);
    return;
  }
  operation_ = std::move(done);
  moving_ = Moving::sending;
  on_worker<Result<void>>(
      [directory = directory(), secret = request.target.secret()] {
        return write_move_key(key_directory(directory), secret, user_of(directory));
      },
      [this, request, progress = std::move(progress)](const Result<void>& written) {
        if (process_ != Process::alive || moving_ != Moving::sending) return;
        if (written) {
          begin_move(request, progress);
        } else {
          move_ended(MoveOut::Outcome::stays, written.error());
        }
      });
}

void Guest::begin_move(const port::MoveRequest& request, std::function<void(const port::MoveProgress&)> progress) {
  const auto weak = weak_from_this();
  move_port_ = request.target.port();
  MoveOut::Handlers handlers;
  handlers.secured = [weak] {
    if (const auto self = weak.lock()) self->drop_move_key();
  };
  handlers.progress = std::move(progress);
  handlers.done = [weak](MoveOut::Outcome outcome, const Error& why) {
    if (const auto self = weak.lock()) self->move_ended(outcome, why);
  };
  // TCG of QEMU 7.2 loses changes from the second round on: cpu_physical_memory_sync_dirty_bitmap() has the processors
  // note writes to a page again only if some page is newly dirty, not if all of those are waiting to be sent already.
  const bool in_one_round = record_->accelerator != "kvm";
  move_out_ =
      std::make_shared<MoveOut>(request, key_directory(directory()), in_one_round, move_session(), std::move(handlers));
  move_out_->begin();
}

void Guest::stop_sending() {
  if (move_out_) move_out_->cancel();
}

void Guest::move_ended(MoveOut::Outcome outcome, const Error& why) {
  using Outcome = MoveOut::Outcome;
  move_out_.reset();
  drop_move_key();
  const bool went = outcome == Outcome::sent || outcome == Outcome::fetched;
  moving_ = outcome == Outcome::stays ? Moving::no : Moving::sent;
  paused_ = paused_ || moving_ == Moving::sent;
  if (outcome == Outcome::fetched) {
    record_->serves = true;
    keep_record();
    begin_fetch();
  }
  if (outcome == Outcome::lost) is_lost();
  if (outcome == Outcome::stays) {
    ask_status([this, stops = ++stops_](const std::string& status) {
      if (stops == stops_) look_why_held(status, [] {});
    });
  } else {
    publish();
  }
  answer_operation(went ? Result<void>() : fail(why));
}

// ---- both

void Guest::take_moving_status(const std::string& status) {
  if (record_->phase == GuestRecord::Phase::receiving) {
    if (moving_ == Moving::receiving) return;
    if (status == "inmigrate") {
      // Nobody knows any more with whom it speaks. The source goes on with its guest.
      moving_ = Moving::receiving;
      force_end();
      answer_adoption();
      return;
    }
  }
  command("query-migrate", [this, status](const Result<std::string>& reply) {
    take_found_move(status, reply ? text_in(parse_answer(*reply), "status") : std::string());
  });
}

// The agent before this one had not written yet that it goes on here. Its memory may still be on its way.
void Guest::take_found_taken_over() {
  command("query-migrate", [this](const Result<std::string>& reply) {
    if (reply && text_in(parse_answer(*reply), "status") == "postcopy-active") begin_fetch();
    processors_run();
  });
}

void Guest::take_found_move(const std::string& status, const std::string& migration) {
  if (is_postcopy_broken(migration)) {
    is_lost();
    answer_adoption();
    return;
  }
  const bool fetches = migration == "postcopy-active";
  if (record_->phase == GuestRecord::Phase::receiving) {
    paused_ = true;
    if (fetches) begin_fetch();
    is_received();
    answer_adoption();
  } else if (fetches) {
    if (status == "finish-migrate") moving_ = Moving::sent;
    begin_fetch();
    look_why_held(status, [this] { answer_adoption(); });
  } else if (status == "postmigrate" || status == "finish-migrate") {
    // By postcopy it may have failed when the target had all that it needs: the lease alone tells.
    end_found_move(migration == "failed" && status == "postmigrate");
  } else {
    look_for_credentials(status);
  }
}

// A move's credentials are the first it puts into QEMU and the last it takes away.
void Guest::look_for_credentials(const std::string& status) {
  command(
      "qom-list",
      [this, status](const Result<std::string>& reply) {
        if (reply && reply->find(kMoveCredentials) != std::string::npos) {
          end_found_move(false);
        } else {
          look_why_held(status, [this] { answer_adoption(); });
        }
      },
      R"({"path": "/objects"})");
}

// What an agent before this one began. `stands`: its guest goes on here by nobody's word but take_over().
void Guest::end_found_move(bool stands) {
  using Outcome = MoveEnd::Outcome;
  drop_move_key();
  const auto end =
      std::make_shared<MoveEnd>(model::kDisksMax, move_session(), [weak = weak_from_this(), stands](Outcome outcome) {
        const auto self = weak.lock();
        if (!self) return;
        if (outcome == Outcome::lost) {
          self->is_lost();
          return self->answer_adoption();
        }
        self->ask_status([guest = self.get(), is_sent = outcome == Outcome::went || stands](const std::string& now) {
          if (is_sent && now == "postmigrate") guest->moving_ = Moving::sent;
          guest->look_why_held(now, [guest] { guest->answer_adoption(); });
        });
      });
  end->begin();
}

void Guest::take_over(bool runs, port::Done done) {
  if (process_ != Process::alive || ending_ != Ending::no || (moving_ != Moving::received && moving_ != Moving::sent)) {
    done(fail(ErrorCode::conflict, "cannot take over virtual machine " + vm_id_,
              "it did not come from another host, nor go to one", {}, "not_moved"));
    return;
  }
  operation_ = std::move(done);
  if (moving_ == Moving::sent) return take_back(runs);
  // Only where disks were copied is there a server.
  command("nbd-server-stop", [](const Result<std::string>&) {});
  // The next move, from here, has its own.
  const nlohmann::ordered_json credentials = {{"id", kMoveCredentials}};
  command(
      "object-del", [](const Result<std::string>&) {}, credentials.dump());
  go_on(runs);
}

// That it serves no more is kept first: an agent that comes later must not take a guest that runs for one that is gone.
void Guest::take_back(bool runs) {
  if (!std::exchange(record_->serves, false)) return end_and_go_on(runs);
  save_record([this, runs](const Result<void>& saved) {
    // Its end answers whoever waits.
    if (process_ != Process::alive) return;
    if (saved) return end_and_go_on(runs);
    record_->serves = true;
    answer_operation(fail(saved.error()));
  });
}

// What it is being sent by yet is ended before.
void Guest::end_and_go_on(bool runs) {
  using Outcome = MoveEnd::Outcome;
  const auto end =
      std::make_shared<MoveEnd>(model::kDisksMax, move_session(), [weak = weak_from_this(), runs](Outcome outcome) {
        const auto self = weak.lock();
        if (!self) return;
        // Its end answers whoever waits.
        if (outcome == Outcome::lost) return self->is_lost();
        self->fetching_ = false;
        self->go_on(runs);
      });
  end->begin();
}

void Guest::go_on(bool runs) {
  if (!runs) {
    taken_over(false);
    return;
  }
  command("cont", [this](const Result<std::string>& reply) {
    if (reply) {
      taken_over(true);
    } else {
      answer_operation(fail(reply.error()));
    }
  });
}

void Guest::went_on() {
  moving_ = Moving::no;
  ++stops_;
  paused_ = false;
  held_.Clear();
  watch_agent();
  publish();
}

void Guest::taken_over(bool runs) {
  moving_ = Moving::no;
  record_->phase = GuestRecord::Phase::running;
  paused_ = !runs;
  keep_record();
  watch_agent();
  publish();
  answer_operation({});
}

}  // namespace gantry::qemu
