#include "sim/joiner.h"

#include "gantry/v1/join.pb.h"
#include "gantry/v1/routes.pb.h"
#include "model/sha256.h"

namespace gantry::sim {
namespace {

constexpr Milliseconds kPatienceMs = 12'000;
constexpr Milliseconds kAgainMs = 1'000;

}  // namespace

void Joiner::start() {
  if (busy_) return;
  busy_ = true;
  ask_for_token();
}

void Joiner::ask(const std::string& rpc, const google::protobuf::Message& request, const std::string& key,
                 bool (Joiner::*take)(const Answer&), void (Joiner::*next)()) {
  const std::uint64_t attempt = ++attempt_;
  const auto again = [this, attempt, next] {
    if (attempt == attempt_) (this->*next)();
  };
  stage_.scheduler.at(kPatienceMs, again);
  if (manager_ == nullptr) return;
  const port::CallOptions options{.actor = "admin", .dry_run = false, .if_match = 0, .idempotency_key = key};
  manager_->call(rpc, request, options, [this, attempt, take, again](const Answer& answer) {
    if (attempt != attempt_) return;
    if ((this->*take)(answer)) {
      ++attempt_;
    } else {
      stage_.scheduler.at(kAgainMs, again);
    }
  });
}

void Joiner::ask_for_token() {
  secret_ = asked_.name + "-secret-" + std::to_string(++secrets_);
  shown_ = 0;
  v1::KeepHostTokenRequest request;
  request.set_secret_hash(model::sha256_hex(secret_));
  ask("KeepHostToken", request, "token-" + secret_, &Joiner::take_token, &Joiner::ask_for_token);
}

bool Joiner::take_token(const Answer& answer) {
  if (!answer) return false;
  stage_.scheduler.at(1, [this] { ask_for_admission(); });
  return true;
}

void Joiner::ask_for_admission() {
  v1::AdmitHostRequest request;
  request.set_secret_hash(model::sha256_hex(secret_));
  request.set_host_name(asked_.name);
  request.set_pool_path(asked_.pool_path);
  if (!asked_.taken_subnet.empty()) request.add_taken_subnets(asked_.taken_subnet);
  stage_.trace.note("join", asked_.name + " shows its token");
  if (manager_ != nullptr) ++shown_;
  ask("AdmitHost", request, "", &Joiner::take_admission, &Joiner::ask_for_admission);
}

bool Joiner::take_admission(const Answer& answer) {
  if (answer) {
    const std::string host_id = dynamic_cast<const v1::Accepted&>(**answer).task().target_id();
    stage_.trace.note("join", asked_.name + " has joined as " + host_id);
    busy_ = false;
    joined_(host_id);
    return true;
  }
  if (answer.error().code == ErrorCode::unavailable || answer.error().code == ErrorCode::timed_out) return false;
  stage_.trace.note("join", asked_.name + " is refused: " + answer.error().to_text());
  if (shown_ < 2 || answer.error().word() != "token_unknown") {
    stage_.trace.violation("a good token was refused: " + answer.error().to_text());
  }
  stage_.scheduler.at(kAgainMs, [this] { ask_for_token(); });
  return true;
}

}  // namespace gantry::sim
