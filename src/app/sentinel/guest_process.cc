#include "app/sentinel/guest_process.h"

#include <fcntl.h>
#include <signal.h>

#include <utility>

#include "qemu/guest_directory.h"
#include "qemu/process_facts.h"
#include "qemu/qmp_codec.h"
#include "runtime/event_loop.h"

namespace gantry::sentinel {
namespace {

// A QEMU that was frozen answers when it goes on, however late.
constexpr Milliseconds kAnswerTimeoutMs = 3'600'000;
constexpr Milliseconds kEndMs = 1'000;

}  // namespace

Result<std::optional<KnownProcess>> known_process(const std::string& state_directory, const std::string& vm_id) {
  const auto record = qemu::GuestDirectory(state_directory, vm_id).load();
  if (!record && record.error().code == ErrorCode::not_found) return std::nullopt;
  if (!record) return fail(record.error());
  const bool may_live = record->phase != qemu::GuestRecord::Phase::ended && record->pid > 0 &&
                        record->machine_boot_id == qemu::machine_boot_id();
  if (!may_live) return std::nullopt;
  return KnownProcess{record->pid, record->pid_start_ticks};
}

Result<std::optional<FoundProcess>> find_process(const KnownProcess& known) {
  auto pidfd = qemu::open_pidfd(known.pid);
  // Asked after the pidfd was opened, so that both speak of the same process.
  const auto facts = qemu::process_facts(known.pid);
  if (!facts || facts->start_ticks != known.start_ticks || facts->state == 'Z' || facts->state == 'X') {
    return std::nullopt;
  }
  if (!pidfd) return fail(pidfd.error());
  return FoundProcess{std::move(*pidfd), facts->state == 'T'};
}

void GuestProcess::watch_exit(std::function<void()> exited) {
  UniqueFd watched(::fcntl(pidfd_.get(), F_DUPFD_CLOEXEC, 0));
  exit_watch_ = qemu::watch_readable(loop_, std::move(watched), std::move(exited));
}

bool GuestProcess::connect() {
  if (qmp_) return true;
  auto connected = qemu::connect_unix(control_socket_);
  if (!connected) return false;
  qmp_ = qemu::QmpConnection::open(loop_, std::move(*connected),
                                   {.on_event = [](const qemu::QmpEvent&) {},
                                    .on_closed =
                                        [weak = weak_from_this()](const Error&) {
                                          if (const auto self = weak.lock()) self->qmp_.reset();
                                        }});
  return true;
}

void GuestProcess::stop(std::function<void(Result<bool> ran)> done) {
  if (!connect()) {
    done(fail(ErrorCode::unavailable, "QEMU's control socket cannot be reached"));
    return;
  }
  const auto ran = std::make_shared<bool>(false);
  qmp_->execute("query-status", {}, kAnswerTimeoutMs, [ran](const Result<std::string>& answer) {
    *ran = answer && qemu::json_member(*answer, "status") == "running";
  });
  qmp_->execute("stop", {}, kAnswerTimeoutMs, [ran, done = std::move(done)](const Result<std::string>& answer) {
    if (answer) {
      done(*ran);
    } else {
      done(fail(answer.error()));
    }
  });
}

void GuestProcess::resume() {
  if (!connect()) return;
  // Only as it was left: one that was sent to another host meanwhile stands for another reason.
  qmp_->execute("query-status", {}, kAnswerTimeoutMs, [self = shared_from_this()](const Result<std::string>& answer) {
    if (!self->qmp_) return;
    if (!answer || qemu::json_member(*answer, "status") != "paused") return self->leave_control();
    // Kept until QEMU has it.
    self->qmp_->execute("cont", {}, kAnswerTimeoutMs, [self](const Result<std::string>&) { self->leave_control(); });
  });
}

void GuestProcess::leave_control() {
  if (qmp_) qmp_->close();
  qmp_.reset();
}

void GuestProcess::freeze() const { qemu::send_signal(pidfd_, SIGSTOP); }
void GuestProcess::thaw() const { qemu::send_signal(pidfd_, SIGCONT); }
void GuestProcess::kill() const { qemu::send_signal(pidfd_, SIGKILL); }

void GuestProcess::end() {
  if (std::exchange(ends_, true)) return;
  if (!connect()) return kill();
  qmp_->execute("quit", {}, kEndMs, [](const Result<std::string>&) {});
  loop_.post_after(kEndMs, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->kill();
  });
}

}  // namespace gantry::sentinel
