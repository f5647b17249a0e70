// What a watch of etcd says, made into whole revisions, each once and in order. No I/O; etcd is not trusted.
#pragma once

#include <functional>
#include <optional>

#include "port/store.h"
#include "store/etcd_rpc.pb.h"

namespace gantry::store {

class EtcdWatchAssembler {
 public:
  using Deliver = std::function<void(const port::ChangeBatch&)>;

  // `next`: the first revision that is wanted.
  explicit EtcdWatchAssembler(port::Revision next) : next_(next) {}

  // Hands on what is complete now. False: it makes no sense, and the watch must be begun again.
  bool take(const etcdserverpb::WatchResponse& answer, const Deliver& deliver);
  // The watch begins again, from next(): what was incomplete comes once more.
  void restart();
  // The first revision that was not handed on and may yet come.
  [[nodiscard]] port::Revision next() const { return next_; }

 private:
  bool add(const etcdserverpb::Event& event, const Deliver& deliver);
  void flush(const Deliver& deliver);

  port::Revision next_;
  // The revision being gathered.
  port::ChangeBatch batch_;
  std::size_t batch_bytes_ = 0;
};

}  // namespace gantry::store
