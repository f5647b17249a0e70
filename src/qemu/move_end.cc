#include "qemu/move_end.h"

#include <utility>

#include "qemu/move_keys.h"

namespace gantry::qemu {
namespace {

constexpr Milliseconds kAskAgainMs = 1'000;
// The guest stands meanwhile, everywhere.
constexpr Milliseconds kAskStandingMs = 1;
// So long a cancelled postcopy may take.
constexpr Milliseconds kCancelMs = 5'000;

}  // namespace

void MoveEnd::ask(std::string_view command, const std::string& arguments,
                  std::function<void(const std::string&)> then) {
  session_.execute(command, arguments,
                   [self = shared_from_this(), then = std::move(then)](const Result<std::string>& reply) {
                     if (reply) {
                       then(*reply);
                     } else {
                       self->later(kAskAgainMs, &MoveEnd::ask_migration);
                     }
                   });
}

void MoveEnd::later(Milliseconds delay_ms, void (MoveEnd::*step)()) {
  session_.after(delay_ms, [self = shared_from_this(), step] { (*self.*step)(); });
}

void MoveEnd::ask_migration() {
  ask("query-migrate", {}, [this](const std::string& reply) {
    const std::string status = text_in(parse_answer(reply), "status");
    went_ = status == "completed";
    was_postcopy_ = was_postcopy_ || status == "postcopy-active";
    // QEMU 7.2 cancels one whose connection ended first for ever.
    const bool hangs = was_postcopy_ && status == "cancelling" && ++looks_cancelling_ * kMoveLookSoonMs > kCancelMs;
    if (is_postcopy_broken(status) || hangs) {
      if (auto done = std::exchange(done_, nullptr)) done(Outcome::lost);
    } else if (!is_migrating(status)) {
      end_jobs();
    } else if (status == "cancelling") {
      later(kMoveLookSoonMs, &MoveEnd::ask_migration);
    } else {
      ask("migrate_cancel", {}, [this](const std::string&) { later(kMoveLookSoonMs, &MoveEnd::ask_migration); });
    }
  });
}

void MoveEnd::end_jobs() {
  ask("query-block-jobs", {}, [this](const std::string& reply) {
    const auto jobs = parse_answer(reply);
    bool any = false;
    if (jobs.is_array()) {
      for (const auto& job : jobs) {
        const std::string id = text_in(job, "device");
        if (!is_move_job(id)) continue;
        any = true;
        // It may have ended by itself meanwhile.
        session_.execute("block-job-cancel", nlohmann::ordered_json{{"device", id}, {"force", true}}.dump(),
                         [](const Result<std::string>&) {});
      }
    }
    if (any) {
      later(kMoveLookSoonMs, &MoveEnd::end_jobs);
    } else {
      remove_node(0);
    }
  });
}

// What is not there is not missed.
void MoveEnd::remove_node(std::size_t index) {
  const bool is_last = index == disks_;
  const nlohmann::ordered_json what = is_last ? nlohmann::ordered_json{{"id", kMoveCredentials}}
                                              : nlohmann::ordered_json{{"node-name", move_job(index)}};
  session_.execute(is_last ? "object-del" : "blockdev-del", what.dump(),
                   [self = shared_from_this(), index, is_last](const Result<std::string>&) {
                     if (is_last) {
                       self->ask_status();
                     } else {
                       self->remove_node(index + 1);
                     }
                   });
}

// QEMU tells the end of a migration before its processors go on, or stand for good.
void MoveEnd::ask_status() {
  ask("query-status", {}, [this](const std::string& reply) {
    const std::string status = text_in(parse_answer(reply), "status");
    if (status == "finish-migrate") {
      later(kAskStandingMs, &MoveEnd::ask_status);
    } else if (auto done = std::exchange(done_, nullptr)) {
      // What is completed may be an earlier move: that by which the guest came here, or one that was taken back.
      done(went_ && status == "postmigrate" ? Outcome::went : Outcome::stays);
    }
  });
}

}  // namespace gantry::qemu
