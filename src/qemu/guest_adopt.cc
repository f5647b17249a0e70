// The part of Guest that finds a process of an agent before this one.
#include <utility>

#include "qemu/engine.h"
#include "qemu/guest.h"
#include "runtime/event_loop.h"

namespace gantry::qemu {
namespace {

constexpr Milliseconds kConsoleAgainMs = 500;
constexpr Milliseconds kLookAgainMs = 3'000;

}  // namespace

void Guest::find(std::function<void()> done) {
  adopted_ = std::move(done);
  look();
}

void Guest::look() {
  on_worker<Result<FoundGuest>>(
      [engine = engine_, vm_id = vm_id_, now = engine_->loop.now()] { return find_guest(*engine, vm_id, now); },
      [this](Result<FoundGuest> found) {
        if (found) {
          adopt(std::move(*found));
          return;
        }
        unknown_ = {ErrorCode::unavailable, "cannot tell whether virtual machine " + vm_id_ + " runs",
                    found.error().to_text(), "it is looked for again every few seconds", "guest_unknown"};
        process_ = Process::unknown;
        publish();
        answer_adoption();
        find_timer_.arm(kLookAgainMs, [this] { look(); });
      });
}

void Guest::adopt(FoundGuest found) {
  process_ = Process::none;
  record_ = std::move(found.record);
  if (!found.pidfd.valid()) {
    publish();
    answer_adoption();
    return;
  }
  take_process(std::move(found.pidfd));
  if (record_->serves && !record_->forced) {
    // It may be frozen, until whoever freezes it hears that it serves.
    moving_ = Moving::sent;
    paused_ = true;
    begin_fetch();
    publish();
    answer_adoption();
  } else {
    find_timer_.arm(engine_->options.adoption_timeout_ms, [this] { adoption_is_late(); });
  }
  look_after_adoption(kAdoptionLooks);
  if (found.serial.valid()) {
    attach_console(std::move(found.serial), std::move(found.console_tail));
  } else {
    find_console(std::move(found.console_tail), kConsoleAgainMs);
  }
  if (found.qmp.valid()) {
    open_qmp(std::move(found.qmp));
    ask_status([this](const std::string& status) { take_status(status); });
  } else {
    reconnect();
  }
}

void Guest::adoption_is_late() {
  // Who waits for its end need not wait for its words.
  if (record_->forced) begin_kill();
  publish();
  answer_adoption();
}

void Guest::answer_adoption() {
  find_timer_.disarm();
  if (auto done = std::exchange(adopted_, nullptr)) done();
}

}  // namespace gantry::qemu
