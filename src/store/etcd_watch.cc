#include "store/etcd_watch.h"

#include <algorithm>
#include <utility>

#include "store/etcd_messages.h"
#include "store/rules.h"

namespace gantry::store {

void EtcdWatch::start(port::Revision from) {
  assembler_ = EtcdWatchAssembler(from);
  open();
}

void EtcdWatch::stop() {
  stopped_ = true;
  if (stream_) stream_->cancel();
}

void EtcdWatch::open() {
  if (stopped_ || slot_->ended()) return;
  etcdserverpb::WatchCreateRequest request;
  set_range(slot_->prefix(), prefix_end(slot_->prefix()), request.mutable_key(), request.mutable_range_end());
  // One revision before what is wanted: of the one that history was compacted to etcd may have forgotten what was
  // erased in it, and only what is older does it refuse.
  const port::Revision from = std::max<port::Revision>(1, assembler_.next() - 1);
  request.set_start_revision(static_cast<std::int64_t>(from));
  request.set_progress_notify(true);
  request.set_fragment(true);
  created_ = false;
  blamed_ = false;
  const int number = ++number_;
  EtcdClient::StreamEvents events;
  events.answer = [self = shared_from_this()](const auto& answer) { self->take(answer); };
  events.end = [self = shared_from_this()](const EtcdStatus&) { self->stream_ended(); };
  stream_ = client_.watch(request, std::move(events));
  loop_.after(patience_ms_, [weak = weak_from_this(), number] {
    const auto self = weak.lock();
    if (self && self->number_ == number && self->stream_ && !self->created_) {
      self->blame("it does not begin a watch in time");
    }
  });
}

void EtcdWatch::take(const etcdserverpb::WatchResponse& answer) {
  if (stopped_ || blamed_) return;
  if (answer.compact_revision() != 0) return fail(port::StoreError::compacted);
  if (answer.canceled()) return blame("it ends a watch: " + answer.cancel_reason());
  if (answer.created()) {
    created_ = true;
    watch_id_ = answer.watch_id();
  }
  if (!created_ || answer.watch_id() != watch_id_) return;
  const port::Revision before = assembler_.next();
  const bool sound = assembler_.take(answer, [this](const port::ChangeBatch& batch) { slot_->deliver(batch); });
  if (!sound) {
    blame("what it says of changes makes no sense");
  } else if (assembler_.next() != before) {
    // Each begin is told one revision again: that alone is nothing new.
    failures_ = 0;
  }
}

void EtcdWatch::blame(const std::string& why) {
  blamed_ = true;
  assembler_.restart();
  stream_->blame(why);
}

void EtcdWatch::stream_ended() {
  stream_.reset();
  if (stopped_ || slot_->ended()) return;
  assembler_.restart();
  // At once if it was of use here.
  const Milliseconds delay_ms = failures_ == 0 ? 0 : client_.wait_before(failures_);
  ++failures_;
  loop_.after(delay_ms, [self = shared_from_this()] { self->open(); });
}

void EtcdWatch::fail(port::StoreError error) {
  const auto self = shared_from_this();
  stop();
  slot_->fail(error);
}

}  // namespace gantry::store
