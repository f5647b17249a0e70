#include "link/link_hub.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "link/connection.h"
#include "link/status.h"

namespace gantry::link {
namespace {

constexpr std::size_t kCallsMax = 128;
// A host that has much to say says it in one message: a hundred at once, and twenty a second, is more than any needs.
constexpr std::int64_t kBurst = 100 * kMessageCost;
constexpr std::int64_t kCostPerMs = 20;
// All that it is assigned is sent to it then.
constexpr std::int64_t kArrivalCost = 10 * kMessageCost;

Error ending() {
  return Error{ErrorCode::unavailable, "the manager takes no hosts now", "it is ending", "try again in a moment"};
}

Error certificate_ended() {
  return Error{ErrorCode::unauthenticated, "this host's certificate has ended", "it was not renewed in time",
               "join anew: gantryd join --replace TOKEN, with a token of \"gantry host token\"", "certificate_ended"};
}

Error left_cluster(const std::string& host_id) {
  return Error{ErrorCode::permission_denied, "this machine is no host of the cluster",
               "host " + host_id + " has left it (gantry host leave)",
               "to be one again: gantryd join --replace TOKEN, with a token of \"gantry host token\"", "host_left"};
}

Error replaced() {
  return Error{ErrorCode::conflict, "this connection has ended", "the same host has connected anew",
               "if this is another machine, it has a copy of that host's state directory: join it anew", "host_twice"};
}

}  // namespace

bool LinkHub::send(const std::string& host_id, const v1::ToHost& message) {
  const auto found = connected_.find(host_id);
  if (found == connected_.end()) return false;
  if (executor_.now().unix_ms >= found->second->identity().validity.until_ms) {
    found->second->end(to_status(certificate_ended()));
  } else {
    found->second->send(message);
  }
  return true;
}

Result<void> LinkHub::check_member(const HostIdentity& identity) const {
  if (stopping_ || !admission_handler) return fail(ending());
  // TLS has looked at it when the connection began, which may be long ago.
  if (executor_.now().unix_ms >= identity.validity.until_ms) return fail(certificate_ended());
  switch (admission_handler(identity.host_id)) {
    case port::Standing::member: return {};
    case port::Standing::not_yet_known:
      return fail(ErrorCode::unavailable, "the manager takes no hosts yet", "its records are being read",
                  "try again in a moment");
    case port::Standing::stranger: break;
  }
  return fail(left_cluster(identity.host_id));
}

Milliseconds LinkHub::charge(const std::string& host_id, std::int64_t cost) {
  const Milliseconds now_ms = executor_.now().monotonic_ms;
  Budget& budget = budgets_.try_emplace(host_id, Budget{.left = kBurst, .at_ms = now_ms}).first->second;
  budget.left = std::min(kBurst, budget.left + (now_ms - budget.at_ms) * kCostPerMs) - cost;
  budget.at_ms = now_ms;
  return budget.left >= 0 ? 0 : -budget.left / kCostPerMs + 1;
}

Result<void> LinkHub::charge_call(const std::string& host_id, std::int64_t cost) {
  // A refusal costs nothing: who tries again and again gets in at last.
  if (charge(host_id, 0) > 0) {
    return fail(ErrorCode::unavailable, "the manager does not serve this host now", "it asks too much at once",
                "it tries again by itself");
  }
  charge(host_id, cost);
  return {};
}

void LinkHub::arrived(const ConnectionPtr& connection) {
  all_.insert(connection);
  const HostIdentity& identity = connection->identity();
  if (auto member = check_member(identity); !member) return connection->end(to_status(member.error()));
  if (auto calm = charge_call(identity.host_id, kArrivalCost); !calm) return connection->end(to_status(calm.error()));
  ConnectionPtr& place = connected_[identity.host_id];
  const ConnectionPtr before = std::exchange(place, connection);
  // Of the same host: it came again before the end of the other was noticed.
  if (before) before->end(to_status(replaced()));
  spdlog::info("host {} is connected from {}", identity.host_id, connection->peer());
  connection->begin();
  if (connection_handler) connection_handler(identity.host_id, true);
}

void LinkHub::message_came(Connection& connection, v1::FromHost& message) {
  const HostIdentity& identity = connection.identity();
  const auto found = connected_.find(identity.host_id);
  // What comes late over a connection that another took the place of would be older than what that one said.
  if (found == connected_.end() || found->second.get() != &connection) return;
  if (executor_.now().unix_ms >= identity.validity.until_ms) {
    return connection.end(to_status(certificate_ended()));
  }
  message.set_host_id(identity.host_id);
  if (message_handler) message_handler(message);
}

void LinkHub::left(const ConnectionPtr& connection) {
  all_.erase(connection);
  const std::string& host_id = connection->identity().host_id;
  const auto found = connected_.find(host_id);
  if (found == connected_.end() || found->second != connection) return;
  connected_.erase(found);
  spdlog::info("host {} is not connected any more", host_id);
  if (connection_handler) connection_handler(host_id, false);
}

void LinkHub::drop(const std::string& host_id) {
  budgets_.erase(host_id);
  const auto found = connected_.find(host_id);
  if (found == connected_.end()) return;
  const ConnectionPtr connection = found->second;
  connected_.erase(found);
  connection->end(to_status(left_cluster(host_id)));
}

void LinkHub::stop() {
  stopping_ = true;
  const Error error = ending();
  for (const ConnectionPtr& connection : all_) connection->end(to_status(error));
  for (const PendingCallPtr& call : std::exchange(calls_, {})) call->finish(&error);
}

Result<void> LinkHub::begin(const PendingCallPtr& call) {
  if (stopping_) return fail(ending());
  if (calls_.size() >= kCallsMax) {
    return fail(ErrorCode::unavailable, "the manager is busy", "many machines join at once", "try again in a moment");
  }
  calls_.insert(call);
  return {};
}

}  // namespace gantry::link
