#include "sim/sim_link.h"

#include <algorithm>

namespace gantry::sim {

SimLink::SimLink(Scheduler& scheduler, Trace& trace, Rng& rng, std::string host_id)
    : scheduler_(scheduler), trace_(trace), rng_(rng), host_id_(std::move(host_id)) {}

void SimLink::schedule(Milliseconds delay_ms, const std::function<void()>& work) {
  scheduler_.at(delay_ms, [this, connection = connection_, work] {
    if (connected_ && connection == connection_) work();
  });
}

void SimLink::deliver(Milliseconds& last_at_ms, const std::function<void()>& work) {
  const Milliseconds now_ms = scheduler_.now().monotonic_ms;
  last_at_ms = std::max(last_at_ms, now_ms + static_cast<Milliseconds>(rng_.below(20)));
  schedule(last_at_ms - now_ms, work);
  if (rng_.chance(duplicates_, 1'000)) {
    schedule(last_at_ms - now_ms + static_cast<Milliseconds>(rng_.below(5'000)), work);
  }
}

void SimLink::ManagerEnd::send(const std::string& host_id, const v1::ToHost& message) {
  if (!link.connected_ || host_id != link.host_id_) return;
  link.trace_.note("manager", "assigns " + std::to_string(message.assignments_size()) + " records" +
                                  (message.complete() ? ", all there are" : ""));
  link.deliver(link.last_to_host_ms_, [this, message] {
    if (link.host_end_.message_handler) link.host_end_.message_handler(message);
  });
}

void SimLink::HostEnd::send(const v1::FromHost& message) {
  if (!link.connected_) return;
  std::string line = message.hello() ? "says hello" : "observes";
  for (const v1::Observation& observation : message.observations()) {
    line += " " + observation.id();
    if (observation.absent()) line += "(absent)";
    if (observation.has_vm()) line += "(" + v1::VmStatus::State_Name(observation.vm().state()) + ")";
    if (observation.has_volume()) line += "(" + v1::VolumeStatus::State_Name(observation.volume().state()) + ")";
  }
  link.trace_.note("agent", line);
  link.deliver(link.last_to_manager_ms_, [this, message] {
    if (link.manager_end_.message_handler) link.manager_end_.message_handler(message);
  });
}

void SimLink::connect_later() {
  if (connected_ || connecting_ || !manager_up_ || !host_up_) return;
  connecting_ = true;
  scheduler_.at(10 + static_cast<Milliseconds>(rng_.below(500)), [this] {
    connecting_ = false;
    connect();
  });
}

void SimLink::connect() {
  if (connected_ || !manager_up_ || !host_up_) return;
  connected_ = true;
  ++connection_;
  trace_.note("link", "connected");
  if (manager_end_.connection_handler) manager_end_.connection_handler(host_id_, true);
  if (host_end_.connection_handler) host_end_.connection_handler(true);
}

void SimLink::lose() {
  if (!connected_) return;
  connected_ = false;
  trace_.note("link", "lost");
  if (manager_up_ && manager_end_.connection_handler) manager_end_.connection_handler(host_id_, false);
  if (host_up_ && host_end_.connection_handler) host_end_.connection_handler(false);
}

void SimLink::break_connection() {
  lose();
  connect_later();
}

void SimLink::join(const std::string& host_id) {
  others_.insert(host_id);
  connect_others();
}

void SimLink::connect_others() {
  for (const std::string& host_id : others_) {
    if (manager_end_.connection_handler) manager_end_.connection_handler(host_id, true);
  }
}

void SimLink::say(const v1::FromHost& message) {
  if (manager_end_.message_handler) manager_end_.message_handler(message);
}

void SimLink::manager_up(bool up) {
  manager_up_ = up;
  if (!up) {
    manager_end_.message_handler = {};
    manager_end_.connection_handler = {};
    lose();
  }
  connect_others();
  connect_later();
}

void SimLink::host_up(bool up) {
  host_up_ = up;
  if (!up) {
    host_end_.message_handler = {};
    host_end_.connection_handler = {};
    lose();
  }
  connect_later();
}

}  // namespace gantry::sim
