#include "link/host_stream.h"

#include <chrono>

#include "link/connection.h"

namespace gantry::link {

bool UnderWay::wait(Milliseconds timeout_ms) {
  std::unique_lock lock(mutex_);
  return nothing_.wait_for(lock, std::chrono::milliseconds(timeout_ms), [this] { return count_ == 0; });
}

HostStream::HostStream(port::Executor& executor, std::shared_ptr<grpc::Channel> channel,
                       std::shared_ptr<UnderWay> under_way, Events events)
    : executor_(executor),
      stub_(v1::HostLink::NewStub(std::move(channel))),
      under_way_(std::move(under_way)),
      events_(std::move(events)) {}

std::shared_ptr<HostStream> HostStream::open(port::Executor& executor, std::shared_ptr<grpc::Channel> channel,
                                             std::shared_ptr<UnderWay> under_way, Events events) {
  auto stream = std::make_shared<HostStream>(executor, std::move(channel), std::move(under_way), std::move(events));
  stream->self_ = stream;
  stream->under_way_->begin();
  stream->stub_->async()->Connect(&stream->context_, stream.get());
  // Operations are begun from outside gRPC's calls: until the hold is given back it does not end in between.
  stream->AddHold();
  stream->StartRead(&stream->incoming_);
  stream->StartCall();
  return stream;
}

void HostStream::send(const v1::FromHost& message) {
  outbox_.add(message);
  write_next();
}

void HostStream::write_next() {
  if (over_ || writing_) return;
  auto next = outbox_.take();
  if (!next) return;
  outgoing_ = std::move(*next);
  writing_ = true;
  StartWrite(&outgoing_);
}

void HostStream::read_done(bool ok) {
  if (over_) return;
  if (!ok) {
    over_ = true;
    RemoveHold();
    return;
  }
  events_.message(incoming_);
  incoming_.Clear();
  StartRead(&incoming_);
}

void HostStream::OnReadInitialMetadataDone(bool ok) {
  if (!ok) return;
  executor_.post([self = self_] {
    const auto& metadata = self->context_.GetServerInitialMetadata();
    const bool admitted = metadata.find({kAdmittedKey.data(), kAdmittedKey.size()}) != metadata.end();
    if (admitted && !self->over_) self->events_.admitted(self->context_.peer());
  });
}

void HostStream::OnReadDone(bool ok) {
  executor_.post([self = self_, ok] { self->read_done(ok); });
}

void HostStream::OnWriteDone(bool ok) {
  executor_.post([self = self_, ok] {
    self->writing_ = false;
    // A failed one ends the reading too.
    if (ok) self->write_next();
  });
}

void HostStream::OnDone(const grpc::Status& status) {
  const auto under_way = under_way_;
  executor_.post([self = std::move(self_), status] { self->events_.ended(status); });
  under_way->end();
}

}  // namespace gantry::link
