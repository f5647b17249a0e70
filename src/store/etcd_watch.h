// A watch in etcd: begun again, where it was, at another node or later, for as long as its owner wants it.
#pragma once

#include <memory>
#include <string>

#include "port/store.h"
#include "store/etcd_client.h"
#include "store/etcd_watch_assembler.h"
#include "store/watch_hub.h"

namespace gantry::store {

class EtcdWatch : public std::enable_shared_from_this<EtcdWatch> {
 public:
  EtcdWatch(EtcdLoop& loop, EtcdClient& client, std::shared_ptr<WatchSlot> slot, Milliseconds patience_ms)
      : loop_(loop), client_(client), slot_(std::move(slot)), patience_ms_(patience_ms) {}

  // All on the loop. `from`: not 0.
  void start(port::Revision from);
  void stop();
  [[nodiscard]] const std::shared_ptr<WatchSlot>& slot() const { return slot_; }

 private:
  void open();
  void take(const etcdserverpb::WatchResponse& answer);
  void blame(const std::string& why);
  void stream_ended();
  void fail(port::StoreError error);

  EtcdLoop& loop_;
  EtcdClient& client_;
  std::shared_ptr<WatchSlot> slot_;
  const Milliseconds patience_ms_;
  EtcdWatchAssembler assembler_{0};
  std::shared_ptr<EtcdStream> stream_;
  // Of this stream, or the streams before: late calls of an older one are told by it.
  int number_ = 0;
  int failures_ = 0;
  bool created_ = false;
  // What it said made no sense: nothing more is taken from it.
  bool blamed_ = false;
  std::int64_t watch_id_ = 0;
  bool stopped_ = false;
};

}  // namespace gantry::store
