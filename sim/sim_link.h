// One machine's end of the host link, and the way to the manager's. Messages take time, come in order but for repeated
// ones, may be lost, and are lost with the connection. Each end notices by itself that the way is cut, and the machine
// connects again by itself.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "port/link.h"
#include "sim/stage.h"
#include "sim/switchboard.h"

namespace gantry::sim {

enum class Cut { to_manager, to_host, both };

class SimLink final : public port::HostLink {
 public:
  SimLink(Stage& stage, Switchboard& board, std::string machine);

  // port::HostLink
  void send(const v1::FromHost& message) override;
  void on_message(std::function<void(const v1::ToHost&)> handler) override { message_handler_ = std::move(handler); }
  void on_connection(std::function<void(bool)> handler) override { connection_handler_ = std::move(handler); }

  // The machine is that host now; an earlier one's connection is over. `own`: within the manager's own process, where
  // nobody is asked who may connect.
  void become(const std::string& host_id, bool own);
  // The agent came up (its handlers are set) or is gone.
  void host_up(bool up);
  void break_connection();
  // Until mend(): what is sent that way is lost, and none connects.
  void cut(Cut way);
  void mend();
  [[nodiscard]] bool is_cut() const { return cut_to_manager_ || cut_to_host_; }
  [[nodiscard]] bool is_connected() const { return host_connection_ != 0 && host_connection_ == manager_connection_; }

  // Of the manager's end.
  void manager_up(bool up);
  void send_to_host(const v1::ToHost& message);
  // The manager ends it.
  void drop();

 private:
  void connect_later();
  void connect();
  void retry_after(Milliseconds least_ms, Milliseconds more_ms);
  // Each end alone.
  void host_loses();
  void manager_loses();
  void lose();
  void notice_later(std::uint64_t connection);
  // In order after what was sent before in that direction, and perhaps once more, or not at all.
  void deliver(Milliseconds& last_at_ms, const std::function<void()>& work);
  void note(const std::string& what);

  Stage& stage_;
  Switchboard& board_;
  const std::string machine_;
  std::string host_id_;
  bool own_ = false;
  std::function<void(const v1::ToHost&)> message_handler_;
  std::function<void(bool)> connection_handler_;
  bool host_up_ = false;
  bool connecting_ = false;
  bool cut_to_manager_ = false;
  bool cut_to_host_ = false;
  // The connection as each end knows it; 0: none.
  std::uint64_t connections_ = 0;
  std::uint64_t host_connection_ = 0;
  std::uint64_t manager_connection_ = 0;
  Milliseconds last_to_host_ms_ = 0;
  Milliseconds last_to_manager_ms_ = 0;
};

}  // namespace gantry::sim
