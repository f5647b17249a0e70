#include "sim/switchboard.h"

#include "sim/isolation.h"
#include "sim/sim_link.h"

namespace gantry::sim {

void Switchboard::send(const std::string& host_id, const v1::ToHost& message) {
  check_isolation(stage_, host_id, message);
  const auto link = links_.find(host_id);
  if (link != links_.end()) link->second->send_to_host(message);
}

void Switchboard::drop(const std::string& host_id) {
  const auto link = links_.find(host_id);
  if (link != links_.end()) link->second->drop();
}

void Switchboard::manager_up(bool up) {
  up_ = up;
  if (!up) {
    message_handler_ = {};
    connection_handler_ = {};
    admission_handler_ = {};
  }
  for (const auto& [host_id, link] : links_) link->manager_up(up);
  connect_talkers();
}

port::Standing Switchboard::standing_of(const std::string& host_id) const {
  return admission_handler_ ? admission_handler_(host_id) : port::Standing::not_yet_known;
}

void Switchboard::connected(const std::string& host_id, bool is_connected) {
  if (connection_handler_) connection_handler_(host_id, is_connected);
}

void Switchboard::say(const v1::FromHost& message) {
  if (message_handler_) message_handler_(message);
}

void Switchboard::add_talker(const std::string& host_id) {
  talkers_.insert(host_id);
  connect_talkers();
}

void Switchboard::connect_talkers() {
  for (const std::string& host_id : talkers_) connected(host_id, true);
}

}  // namespace gantry::sim
