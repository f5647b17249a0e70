// The host link: messages take time, come in order but for repeated ones, and those under way are lost with the
// connection. A lost connection comes back by itself while both ends live.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>

#include "base/rng.h"
#include "port/link.h"
#include "sim/scheduler.h"
#include "sim/trace.h"

namespace gantry::sim {

class SimLink {
 public:
  SimLink(Scheduler& scheduler, Trace& trace, Rng& rng, std::string host_id);

  port::ManagerLink& manager_end() { return manager_end_; }
  port::HostLink& host_end() { return host_end_; }

  // A process came up (its handlers are set) or is gone.
  void manager_up(bool up);
  void host_up(bool up);
  void break_connection();
  // Another machine, which is connected whenever the manager is there, and what it says. The manager's answers are lost
  // on it.
  void join(const std::string& host_id);
  void say(const v1::FromHost& message);
  // Chance in a thousand that a message comes again later.
  void set_duplicates(std::uint64_t per_mille) { duplicates_ = per_mille; }

 private:
  struct ManagerEnd final : port::ManagerLink {
    explicit ManagerEnd(SimLink& owner) : link(owner) {}
    void send(const std::string& host_id, const v1::ToHost& message) override;
    void on_message(std::function<void(const v1::FromHost&)> handler) override { message_handler = std::move(handler); }
    void on_connection(std::function<void(const std::string&, bool)> handler) override {
      connection_handler = std::move(handler);
    }
    // Whoever was cut off talks on: the manager must not rely on the link alone.
    void on_admission(std::function<port::Standing(const std::string&)> /*handler*/) override {}
    void drop(const std::string& /*host_id*/) override {}
    SimLink& link;
    std::function<void(const v1::FromHost&)> message_handler;
    std::function<void(const std::string&, bool)> connection_handler;
  };
  struct HostEnd final : port::HostLink {
    explicit HostEnd(SimLink& owner) : link(owner) {}
    void send(const v1::FromHost& message) override;
    void on_message(std::function<void(const v1::ToHost&)> handler) override { message_handler = std::move(handler); }
    void on_connection(std::function<void(bool)> handler) override { connection_handler = std::move(handler); }
    SimLink& link;
    std::function<void(const v1::ToHost&)> message_handler;
    std::function<void(bool)> connection_handler;
  };

  void connect_others();
  void connect_later();
  void connect();
  void lose();
  // In order after what was sent before in that direction, and perhaps once more.
  void deliver(Milliseconds& last_at_ms, const std::function<void()>& work);
  void schedule(Milliseconds delay_ms, const std::function<void()>& work);

  Scheduler& scheduler_;
  Trace& trace_;
  Rng& rng_;
  std::string host_id_;
  std::set<std::string> others_;
  ManagerEnd manager_end_{*this};
  HostEnd host_end_{*this};
  bool manager_up_ = false;
  bool host_up_ = false;
  bool connected_ = false;
  bool connecting_ = false;
  std::uint64_t connection_ = 0;
  std::uint64_t duplicates_ = 0;
  Milliseconds last_to_host_ms_ = 0;
  Milliseconds last_to_manager_ms_ = 0;
};

}  // namespace gantry::sim
