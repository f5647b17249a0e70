// All connections of hosts, as the manager's executor sees them. Internal to src/link.
//
// Threads: the executor's, but for what is said otherwise.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/result.h"
#include "link/authority.h"
#include "link/outbox.h"
#include "port/executor.h"
#include "port/link.h"

namespace gantry::link {

class Connection;
using ConnectionPtr = std::shared_ptr<Connection>;

// A call under way that must be answered, also when the link ends meanwhile.
class PendingCall {
 public:
  explicit PendingCall(std::function<void(const Error*)> finish) : finish_(std::move(finish)) {}
  // The first answer counts; nullptr: all is well.
  [[nodiscard]] bool finished() const { return !finish_; }
  void finish(const Error* error) {
    if (auto finish = std::exchange(finish_, nullptr)) finish(error);
  }

 private:
  std::function<void(const Error*)> finish_;
};
using PendingCallPtr = std::shared_ptr<PendingCall>;

class LinkHub : public std::enable_shared_from_this<LinkHub> {
 public:
  explicit LinkHub(port::Executor& executor) : executor_(executor) {}

  std::function<void(const v1::FromHost&)> message_handler;
  std::function<void(const std::string&, bool)> connection_handler;
  std::function<port::Standing(const std::string&)> admission_handler;

  // False when that host is not connected.
  bool send(const std::string& host_id, const v1::ToHost& message);
  void drop(const std::string& host_id);
  void stop();

  // From any thread: `work` runs on the executor.
  void post(std::function<void()> work) { executor_.post(std::move(work)); }
  [[nodiscard]] port::Executor& executor() { return executor_; }

  // Of connections.
  void arrived(const ConnectionPtr& connection);
  void message_came(Connection& connection, v1::FromHost& message);
  void left(const ConnectionPtr& connection);

  // Whether that host may have what it asks for; the refusal otherwise.
  [[nodiscard]] Result<void> check_member(const HostIdentity& identity) const;
  // What a host costs is counted for it, however many connections it makes. How long it has to wait until it may cost
  // more.
  Milliseconds charge(const std::string& host_id, std::int64_t cost);
  // A refusal when it still has to wait.
  Result<void> charge_call(const std::string& host_id, std::int64_t cost);
  // Refused when the link ends or too many are under way.
  Result<void> begin(const PendingCallPtr& call);
  void end(const PendingCallPtr& call) { calls_.erase(call); }

 private:
  port::Executor& executor_;
  std::map<std::string, ConnectionPtr> connected_;
  // Also those that are ending.
  std::set<ConnectionPtr> all_;
  std::set<PendingCallPtr> calls_;
  // In thousandths of a message; may be below 0.
  struct Budget {
    std::int64_t left = 0;
    Milliseconds at_ms = 0;
  };
  std::map<std::string, Budget> budgets_;
  bool stopping_ = false;
};

// What a message costs without what is in it.
inline constexpr std::int64_t kMessageCost = 1'000;

}  // namespace gantry::link
