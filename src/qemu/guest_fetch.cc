// The part of Guest whose memory goes on from one process to the other after the guest went, by postcopy: at the
// target, where it goes on meanwhile, and at the source, where it stands.
#include "qemu/guest.h"
#include "qemu/limit_silence.h"
#include "runtime/event_loop.h"
#include "runtime/report.h"

namespace gantry::qemu {
namespace {

constexpr Milliseconds kLookMs = 1'000;
constexpr Milliseconds kLookAdoptedMs = 5'000;
// Nothing from the other host for so long is its end, as while a guest is sent (move_out.cc).
constexpr Milliseconds kSilentMs = 10'000;
// What QEMU writes when it cannot go on with postcopy. Its main loop may itself wait for memory that does not come, and
// then neither answers nor tells.
constexpr const char* kBroken = "Detected IO failure for postcopy";

}  // namespace

// What QEMU at the target, or at the source of a guest that went, tells of it.
void Guest::take_incoming(const std::string& status) {
  if (fetching_ || is_postcopy_broken(status)) return fetch_ended(status);
  if (status == "completed") is_received();
  if (status == "postcopy-active") await_standing();
}

// Processors and devices are loaded, its run state is no longer "inmigrate".
void Guest::await_standing() {
  ask_status([this](const std::string& status) {
    if (moving_ != Moving::receiving || process_ != Process::alive) return;
    if (status != "inmigrate") {
      begin_fetch();
      return is_received();
    }
    engine_->loop.post_after(kMoveLookSoonMs, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->await_standing();
    });
  });
}

void Guest::begin_fetch() {
  fetching_ = true;
  asks_fetch_ = false;
  // 0: only the agent before this one knew it.
  on_worker<Result<void>>([process = pidfd_, pid = record_->pid,
                           port = move_port_] { return limit_silence(process->get(), pid, port, kSilentMs); },
                          [](const Result<void>& limited) {
                            if (!limited) runtime::report_problem(limited.error().to_text());
                          });
  fetch_timer_.arm(kMoveLookSoonMs, [this] { look_fetch(); });
}

void Guest::look_fetch() {
  if (!fetching_ || process_ != Process::alive) return;
  look_whether_lost([this] {
    if (fetching_) fetch_timer_.arm(kLookMs, [this] { look_fetch(); });
  });
  if (std::exchange(asks_fetch_, true)) return;
  command("query-migrate", [this](const Result<std::string>& reply) {
    asks_fetch_ = false;
    if (reply && fetching_) fetch_ended(text_in(parse_answer(*reply), "status"));
  });
}

void Guest::look_whether_lost(std::function<void()> otherwise) {
  on_worker<Result<bool>>(
      [directory = directory()]() -> Result<bool> {
        return directory.error_output().find(kBroken) != std::string::npos;
      },
      [this, otherwise = std::move(otherwise)](const Result<bool>& broken) {
        if (process_ != Process::alive) return;
        if (broken && *broken) return is_lost();
        otherwise();
      });
}

void Guest::look_after_adoption(int looks) {
  look_whether_lost([this, looks] {
    if (looks == 1) return;
    engine_->loop.post_after(kLookAdoptedMs, [weak = weak_from_this(), looks] {
      if (const auto self = weak.lock()) self->look_after_adoption(looks - 1);
    });
  });
}

void Guest::fetch_ended(const std::string& status) {
  if (is_postcopy_broken(status)) return is_lost();
  // The source cannot tell what the target had when it failed: that is as when it had everything.
  const bool failed_here = status == "failed" && moving_ == Moving::sent;
  if (status != "completed" && !failed_here) return;
  fetching_ = false;
  fetch_timer_.disarm();
  publish();
}

// Neither process has all of it, so it ends as by a loss of power.
void Guest::is_lost() {
  last_cause_ =
      moving_ == Moving::sent
          ? "it had begun to go to another host by postcopy, and the connection to it ended before all was there"
          : "the rest of its memory could not be fetched: the process that had it ended on the host that it "
            "came from, or the way there broke";
  fetch_timer_.disarm();
  force_end();
}

}  // namespace gantry::qemu
