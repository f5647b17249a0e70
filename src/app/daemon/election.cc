#include "app/daemon/election.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <future>
#include <utility>

#include "app/daemon/wait_for_end.h"

namespace gantry::app {
namespace {

// The store may be away; the lease ends by itself then.
constexpr std::chrono::seconds kResignTime{2};

std::string addresses_of(const v1::Leader& leader) {
  std::string all;
  for (const std::string& address : leader.api_addresses()) all += (all.empty() ? "" : " or ") + address;
  return all;
}

}  // namespace

void KnownLeader::set(std::optional<v1::Leader> leader, std::string trouble) {
  if (leader && leader->moves_from().empty()) {
    spdlog::info("{} leads, at {}; this manager stands by", leader->name(), addresses_of(*leader));
  } else if (leader) {
    spdlog::info("{} moves its records into the store; no manager leads until that is finished", leader->name());
  } else if (!trouble.empty()) {
    spdlog::warn("no manager is known to lead: {}", trouble);
  }
  const std::lock_guard lock(mutex_);
  leader_ = std::move(leader);
  trouble_ = std::move(trouble);
}

Error KnownLeader::refusal() const {
  const std::lock_guard lock(mutex_);
  if (!leader_) {
    return Error{ErrorCode::unavailable, "no manager is known to lead", trouble_, "try again in a moment", "no_leader"};
  }
  if (!leader_->moves_from().empty()) {
    return Error{ErrorCode::unavailable, "no manager leads yet", leader_->name() + " moves its records into the store",
                 "wait for it; if it was interrupted, repeat it there: gantryd migrate-store", "store_moving"};
  }
  return Error{ErrorCode::unavailable, "this manager does not lead",
               "the leader is " + leader_->name() + " at " + addresses_of(*leader_),
               "ask that one: gantry --server " +
                   (leader_->api_addresses().empty() ? std::string("URL") : leader_->api_addresses(0)),
               "not_the_leader"};
}

control::LeadershipEvents Election::events(KnownLeader& known) {
  return {.leads =
              [this](port::Compare fence) {
                const std::lock_guard lock(mutex_);
                fence_ = std::move(fence);
                wake_main_thread();
              },
          .lost =
              [this](const std::string& why) {
                const std::lock_guard lock(mutex_);
                lost_ = why;
                wake_main_thread();
              },
          .stands_by = [&known](const auto& leader, const std::string& trouble) { known.set(leader, trouble); }};
}

Election::Election(runtime::EventLoop& loop, port::Store& store, KnownLeader& known, v1::Leader self)
    : loop_(loop), leadership_(store, loop_, {.self = std::move(self)}, events(known)) {
  loop_.post([this] { leadership_.start(); });
  thread_ = std::thread([this] { loop_.run(); });
}

Election::~Election() {
  const auto resigned = std::make_shared<std::promise<void>>();
  loop_.post([this, resigned] { leadership_.resign([resigned] { resigned->set_value(); }); });
  resigned->get_future().wait_for(kResignTime);
  loop_.stop();
  thread_.join();
}

std::optional<port::Compare> Election::fence() const {
  const std::lock_guard lock(mutex_);
  return fence_;
}

std::optional<std::string> Election::lost() const {
  const std::lock_guard lock(mutex_);
  return lost_;
}

}  // namespace gantry::app
