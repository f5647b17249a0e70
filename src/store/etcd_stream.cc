#include "store/etcd_stream.h"

#include <utility>

namespace gantry::store {

void EtcdNodeStream::open(const etcdserverpb::WatchCreateRequest& request) {
  endpoint_ = parts_.endpoints.current();
  *request_.mutable_create_request() = request;
  // Ends when the node loses the others, instead of falling silent.
  context_.AddMetadata("hasleader", "true");
  parts_.streams.insert(shared_from_this());
  stream_ = parts_.endpoints.at(endpoint_).watch->AsyncWatch(
      &context_, parts_.loop.queue(), parts_.loop.begin([self = shared_from_this()](bool ok) { self->started(ok); }));
  // Closed while it was asked for.
  if (parts_.closed) context_.TryCancel();
}

void EtcdNodeStream::cancel() {
  cancelled_ = true;
  context_.TryCancel();
}

void EtcdNodeStream::blame(const std::string& why) {
  blame_ = why;
  cancel();
}

void EtcdNodeStream::started(bool ok) {
  if (!ok) return finish();
  stream_->Write(request_, parts_.loop.begin([self = shared_from_this()](bool done) { self->written(done); }));
}

void EtcdNodeStream::written(bool ok) {
  if (!ok) return finish();
  read();
}

void EtcdNodeStream::read() {
  stream_->Read(&answer_, parts_.loop.begin([self = shared_from_this()](bool ok) { self->has_read(ok); }));
}

void EtcdNodeStream::has_read(bool ok) {
  if (!ok) return finish();
  if (parts_.endpoints.is_of_cluster(endpoint_, answer_.header().cluster_id())) {
    events_.answer(answer_);
  } else {
    blame("it belongs to another etcd cluster than the nodes that answered before");
  }
  read();
}

void EtcdNodeStream::finish() {
  stream_->Finish(&status_, parts_.loop.begin([self = shared_from_this()](bool) { self->finished(); }));
}

void EtcdNodeStream::finished() {
  parts_.streams.erase(shared_from_this());
  EtcdStatus status = status_of(status_);
  if (!blame_.empty()) status = {EtcdCode::unavailable, blame_};
  // Whom we cancelled for another reason is not to blame.
  if (!parts_.closed && (!cancelled_ || !blame_.empty())) parts_.failed(endpoint_, status);
  const auto events = std::exchange(events_, {});
  events.end(std::move(status));
}

}  // namespace gantry::store
