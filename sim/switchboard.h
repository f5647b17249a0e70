// The manager's end of all links. Whatever it sends is held against what it may tell that host.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "port/link.h"
#include "sim/stage.h"

namespace gantry::sim {

class SimLink;

class Switchboard final : public port::ManagerLink {
 public:
  explicit Switchboard(Stage& stage) : stage_(stage) {}

  // port::ManagerLink
  void send(const std::string& host_id, const v1::ToHost& message) override;
  void on_message(std::function<void(const v1::FromHost&)> handler) override { message_handler_ = std::move(handler); }
  void on_connection(std::function<void(const std::string&, bool)> handler) override {
    connection_handler_ = std::move(handler);
  }
  void on_admission(std::function<port::Standing(const std::string&)> handler) override {
    admission_handler_ = std::move(handler);
  }
  void drop(const std::string& host_id) override;

  // The manager came up (its handlers are set) or is gone.
  void manager_up(bool up);
  [[nodiscard]] bool is_up() const { return up_; }

  // Of links.
  void plug_in(const std::string& host_id, SimLink& link) { links_[host_id] = &link; }
  void unplug(const std::string& host_id) { links_.erase(host_id); }
  [[nodiscard]] port::Standing standing_of(const std::string& host_id) const;
  void connected(const std::string& host_id, bool is_connected);
  void say(const v1::FromHost& message);

  // Another machine, which talks on whether it is a host or not: the manager must not rely on the link alone. It is
  // connected whenever the manager is there, and what it is sent is lost.
  void add_talker(const std::string& host_id);

 private:
  void connect_talkers();

  Stage& stage_;
  bool up_ = false;
  std::map<std::string, SimLink*> links_;
  std::set<std::string> talkers_;
  std::function<void(const v1::FromHost&)> message_handler_;
  std::function<void(const std::string&, bool)> connection_handler_;
  std::function<port::Standing(const std::string&)> admission_handler_;
};

}  // namespace gantry::sim
