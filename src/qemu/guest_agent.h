// Asks the QEMU guest agent inside a guest, again and again, what the guest is: host name, system, addresses.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>

#include "base/time.h"
#include "gantry/v1/vm.pb.h"

namespace gantry::qemu {

struct GuestAgentTiming {
  // Between rounds of questions: quickly while the guest boots and just after the agent appeared, then slowly.
  Milliseconds fast_ms = 2'000;
  Milliseconds slow_ms = 30'000;
  int fast_rounds_at_first = 60;
  int fast_rounds_after_contact = 10;
  // How long an agent may take to show that it is there, and for the whole round.
  Milliseconds sync_timeout_ms = 3'000;
  Milliseconds round_timeout_ms = 15'000;
};

class GuestAgentPoller {
 public:
  using Callback = std::function<void(const v1::GuestFacts&)>;

  // `socket_path`: QEMU's end of the channel "org.qemu.guest_agent.0"; it may appear later and go away. `on_change` is
  // called on the context's thread, when the facts differ from the last ones told (at first: from none), never from
  // within the constructor and never after the destructor, which it may run. When the agent no longer answers, the last
  // facts are told with agent_connected false. To be used on the context's thread.
  GuestAgentPoller(boost::asio::io_context& context, std::string socket_path, Callback on_change,
                   const GuestAgentTiming& timing = {});
  ~GuestAgentPoller();
  GuestAgentPoller(const GuestAgentPoller&) = delete;
  GuestAgentPoller& operator=(const GuestAgentPoller&) = delete;

  // Asks quickly again for a while, as after a reset or resume.
  void hurry();

 private:
  class Session;
  std::shared_ptr<Session> session_;
};

}  // namespace gantry::qemu
