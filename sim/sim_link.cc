#include "sim/sim_link.h"

#include <algorithm>

namespace gantry::sim {
namespace {

// Pings and their deadline (src/link), each end by itself.
constexpr Milliseconds kNoticeMs = 10'000;
constexpr Milliseconds kRefusedMs = 60'000;

}  // namespace

SimLink::SimLink(Stage& stage, Switchboard& board, std::string machine)
    : stage_(stage), board_(board), machine_(std::move(machine)) {}

void SimLink::note(const std::string& what) { stage_.trace.note("link", machine_ + ": " + what); }

// ---- messages

void SimLink::deliver(Milliseconds& last_at_ms, const std::function<void()>& work) {
  Rng& rng = stage_.rng;
  const bool calm = stage_.calm;
  if (!calm && rng.chance(stage_.swarm.losses, 1'000)) return note("a message is LOST");
  const Milliseconds now_ms = stage_.scheduler.now().monotonic_ms;
  last_at_ms = std::max(last_at_ms, now_ms + static_cast<Milliseconds>(rng.below(20)));
  stage_.scheduler.at(last_at_ms - now_ms, work);
  if (!calm && rng.chance(stage_.swarm.duplicates, 1'000)) {
    stage_.scheduler.at(last_at_ms - now_ms + static_cast<Milliseconds>(rng.below(5'000)), work);
  }
}

void SimLink::send_to_host(const v1::ToHost& message) {
  if (manager_connection_ == 0) return;
  stage_.trace.note("manager", "assigns " + machine_ + " " + std::to_string(message.assignments_size()) + " records" +
                                   (message.complete() ? ", all there are" : ""));
  deliver(last_to_host_ms_, [this, message, connection = manager_connection_] {
    if (!cut_to_host_ && host_connection_ == connection && message_handler_) message_handler_(message);
  });
}

void SimLink::send(const v1::FromHost& message) {
  if (host_connection_ == 0) return;
  std::string line = machine_ + (message.hello() ? " says hello" : " observes");
  for (const v1::Observation& observation : message.observations()) {
    line += " " + observation.id();
    if (observation.absent()) line += "(absent)";
    if (observation.has_vm()) {
      const v1::VmStatus& status = observation.vm();
      line += "(" + v1::VmStatus::State_Name(status.state());
      // A guest that is to come waits in its move.
      const std::string& awaited =
          status.waiting_for().empty() ? status.move().progress().phase() : status.waiting_for();
      line += (awaited.empty() ? "" : ", waits for " + awaited) + ")";
    }
    if (observation.has_volume()) line += "(" + v1::VolumeStatus::State_Name(observation.volume().state()) + ")";
  }
  stage_.trace.note("agent", line);
  deliver(last_to_manager_ms_, [this, message, connection = host_connection_] {
    if (cut_to_manager_ || manager_connection_ != connection) return;
    v1::FromHost stamped = message;
    stamped.set_host_id(host_id_);
    board_.say(stamped);
  });
}

// ---- connections

void SimLink::retry_after(Milliseconds least_ms, Milliseconds more_ms) {
  connecting_ = true;
  stage_.scheduler.at(least_ms + static_cast<Milliseconds>(stage_.rng.below(static_cast<std::uint64_t>(more_ms))),
                      [this] {
                        connecting_ = false;
                        connect();
                      });
}

void SimLink::connect_later() {
  if (host_connection_ == 0 && !connecting_ && host_up_ && board_.is_up() && !is_cut()) retry_after(10, 500);
}

void SimLink::connect() {
  if (host_connection_ != 0 || !host_up_ || !board_.is_up() || is_cut()) return;
  if (!own_) {
    const port::Standing standing = board_.standing_of(host_id_);
    if (standing == port::Standing::not_yet_known) return retry_after(200, 5'000);
    if (standing == port::Standing::stranger) {
      note("refused: it is no host of the cluster");
      return retry_after(kRefusedMs, 5'000);
    }
  }
  // A newer connection takes the place of one whose end the manager has not noticed.
  host_connection_ = manager_connection_ = ++connections_;
  note("connected");
  board_.connected(host_id_, true);
  if (connection_handler_) connection_handler_(true);
}

void SimLink::host_loses() {
  if (host_connection_ == 0) return;
  host_connection_ = 0;
  note("lost, as the host sees it");
  if (connection_handler_) connection_handler_(false);
  connect_later();
}

void SimLink::manager_loses() {
  if (manager_connection_ == 0) return;
  manager_connection_ = 0;
  note("lost, as the manager sees it");
  board_.connected(host_id_, false);
}

void SimLink::lose() {
  manager_loses();
  host_loses();
}

void SimLink::break_connection() { lose(); }

// While the way is cut neither end hears of the other's end.
void SimLink::notice_later(std::uint64_t connection) {
  const auto delay = [this] { return 1'000 + static_cast<Milliseconds>(stage_.rng.below(kNoticeMs)); };
  stage_.scheduler.at(delay(), [this, connection] {
    if (manager_connection_ == connection && (is_cut() || host_connection_ != connection)) manager_loses();
  });
  stage_.scheduler.at(delay(), [this, connection] {
    if (host_connection_ == connection && (is_cut() || manager_connection_ != connection)) host_loses();
  });
}

void SimLink::cut(Cut way) {
  note(way == Cut::both      ? "CUT OFF"
       : way == Cut::to_host ? "CUT on the way to the host"
                             : "CUT on the way to the manager");
  cut_to_host_ = cut_to_host_ || way != Cut::to_manager;
  cut_to_manager_ = cut_to_manager_ || way != Cut::to_host;
  notice_later(std::max(host_connection_, manager_connection_));
}

void SimLink::mend() {
  if (!is_cut()) return;
  note("the way is open again");
  cut_to_host_ = cut_to_manager_ = false;
  if (host_connection_ != manager_connection_) lose();
  connect_later();
}

void SimLink::drop() {
  note("ended by the manager");
  const std::uint64_t connection = std::exchange(manager_connection_, 0);
  if (is_cut()) return notice_later(connection);
  stage_.scheduler.at(1, [this, connection] {
    if (connection != 0 && host_connection_ == connection) host_loses();
  });
}

void SimLink::manager_up(bool up) {
  if (!up) {
    const std::uint64_t connection = std::exchange(manager_connection_, 0);
    if (is_cut()) {
      notice_later(connection);
    } else {
      host_loses();
    }
  }
  connect_later();
}

void SimLink::host_up(bool up) {
  host_up_ = up;
  if (!up) {
    message_handler_ = {};
    connection_handler_ = {};
    const std::uint64_t connection = std::exchange(host_connection_, 0);
    if (is_cut()) {
      notice_later(connection);
    } else {
      manager_loses();
    }
  }
  connect_later();
}

void SimLink::become(const std::string& host_id, bool own) {
  if (!host_id_.empty()) board_.unplug(host_id_);
  manager_connection_ = host_connection_ = 0;
  host_id_ = host_id;
  own_ = own;
  board_.plug_in(host_id_, *this);
}

}  // namespace gantry::sim
