#include "store/etcd_call.h"

#include <algorithm>

namespace gantry::store {
namespace {

// A node that does not answer a read within this share of the whole time is given up for another.
constexpr Milliseconds kTries = 3;
constexpr Milliseconds kTryMsMin = 1'000;
constexpr Milliseconds kConnectMsMax = 2'000;

EtcdStatus other_cluster() {
  return {EtcdCode::unavailable, "it belongs to another etcd cluster than the nodes that answered before"};
}

}  // namespace

EtcdStatus status_of(const grpc::Status& status) {
  return {static_cast<EtcdCode>(status.error_code()), status.error_message()};
}

void EtcdQuestion::ask(EtcdEndpoint& endpoint, grpc::ClientContext& context, grpc::CompletionQueue* queue, void* tag) {
  request.set_key(std::string(1, '\0'));
  request.set_serializable(true);
  request.set_count_only(true);
  reader = endpoint.kv->AsyncRange(&context, request, queue);
  reader->Finish(&response, &status, tag);
}

void EtcdCall::start() {
  if (parts_.closed) {
    answer({EtcdCode::cancelled, "the store was closed"}, EtcdFate::not_done, false);
    return;
  }
  deadline_ms_ = parts_.clock().monotonic_ms + parts_.request_timeout_ms;
  parts_.calls.insert(shared_from_this());
  try_next();
}

void EtcdCall::close() {
  if (context_) {
    context_->TryCancel();
  } else {
    finish({EtcdCode::cancelled, "the store was closed"}, EtcdFate::not_done);
  }
}

void EtcdCall::leave(std::size_t endpoint) {
  if (!context_ || endpoint_ != endpoint) return;
  left_ = true;
  context_->TryCancel();
}

void EtcdCall::try_next() {
  if (finished_) return;
  endpoint_ = parts_.endpoints.current();
  if (repeatable_ || parts_.endpoints.at(endpoint_).connected()) {
    send_now();
  } else {
    connect();
  }
}

void EtcdCall::arm(std::size_t endpoint, Milliseconds timeout_ms) {
  endpoint_ = endpoint;
  left_ = false;
  context_ = std::make_unique<grpc::ClientContext>();
  context_->set_deadline(gpr_time_from_millis(std::max<Milliseconds>(1, timeout_ms), GPR_TIMESPAN));
  // A node that lost the others says so at once.
  context_->AddMetadata("hasleader", "true");
}

// What must not be sent twice is sent only when a small question was answered first: only then is it known that a
// failure before that was before the sending.
void EtcdCall::connect() {
  arm(endpoint_, std::min(left_ms(), kConnectMsMax));
  auto question = std::make_shared<EtcdQuestion>();
  question->ask(parts_.endpoints.at(endpoint_), *context_, parts_.loop.queue(),
                parts_.loop.begin([self = shared_from_this(), question](bool) {
                  self->context_.reset();
                  EtcdStatus status = status_of(question->status);
                  if (status.ok() && !self->parts_.endpoints.is_of_cluster(self->endpoint_,
                                                                           question->response.header().cluster_id())) {
                    status = other_cluster();
                  }
                  if (status.ok() && self->parts_.endpoints.at(self->endpoint_).connected()) {
                    self->send_now();
                  } else {
                    self->ended(status.ok() ? EtcdStatus{EtcdCode::unavailable, "the connection broke"} : status,
                                EtcdFate::not_done);
                  }
                }));
}

void EtcdCall::send_now() {
  if (parts_.closed) return finish({EtcdCode::cancelled, "the store was closed"}, EtcdFate::not_done);
  const bool alone = parts_.endpoints.count() == 1;
  const Milliseconds try_ms = std::max(kTryMsMin, parts_.request_timeout_ms / kTries);
  arm(endpoint_, repeatable_ && !alone ? std::min(left_ms(), try_ms) : left_ms());
  auto status = std::make_shared<grpc::Status>();
  send(parts_.endpoints.at(endpoint_), *context_, parts_.loop.queue(), status.get(),
       parts_.loop.begin([self = shared_from_this(), status](bool) {
         self->context_.reset();
         const EtcdStatus plain = status_of(*status);
         const bool ours = !plain.ok() || self->parts_.endpoints.is_of_cluster(self->endpoint_, self->cluster_id());
         // Whatever that one did, nothing was done where it counts.
         if (!ours) return self->ended(other_cluster(), EtcdFate::not_done);
         self->ended(plain, fate_of(plain));
       }));
}

void EtcdCall::ended(const EtcdStatus& status, EtcdFate fate) {
  if (fate == EtcdFate::done || fate == EtcdFate::refused) {
    parts_.endpoints.served(endpoint_);
    return finish(status, fate);
  }
  if (parts_.closed) return finish({status.code, "the store was closed"}, fate);
  // What was left was blamed by whoever had it left.
  if (!is_full(status) && !left_) parts_.failed(endpoint_, status);
  if (fate == EtcdFate::in_doubt) was_in_doubt_ = true;
  if (fate == EtcdFate::in_doubt && !repeatable_) return finish(status, fate);
  try_again_later(status);
}

// Once at each node at once; then with waits between.
void EtcdCall::try_again_later(const EtcdStatus& status) {
  const int nodes = static_cast<int>(parts_.endpoints.count());
  const int round = ++tries_ / nodes;
  const Milliseconds delay_ms = tries_ < nodes ? 0 : parts_.wait_before(round);
  if (delay_ms >= left_ms()) {
    finish(status, was_in_doubt_ ? EtcdFate::in_doubt : EtcdFate::not_done);
  } else {
    parts_.loop.after(delay_ms, [self = shared_from_this()] { self->try_next(); });
  }
}

void EtcdCall::finish(EtcdStatus status, EtcdFate fate) {
  if (finished_) return;
  finished_ = true;
  const auto self = shared_from_this();
  parts_.calls.erase(self);
  answer(std::move(status), fate, was_in_doubt_);
}

}  // namespace gantry::store
