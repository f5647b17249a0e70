// A range read from etcd in pieces of one revision.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "port/store.h"
#include "store/etcd_client.h"

namespace gantry::store {

class EtcdRange : public std::enable_shared_from_this<EtcdRange> {
 public:
  EtcdRange(EtcdClient& client, port::RangeRequest request, std::size_t page_entries, port::Store::RangeCallback done);
  // On the loop.
  void start();

 private:
  void next_page();
  void has_page(const EtcdReply<etcdserverpb::RangeResponse>& reply);
  // False: the answer makes no sense.
  bool take(const etcdserverpb::RangeResponse& page);
  void fail();

  EtcdClient& client_;
  const port::RangeRequest request_;
  const std::string end_;
  const std::size_t page_entries_;
  port::Store::RangeCallback done_;
  port::Range range_;
  int restarts_ = 0;
};

}  // namespace gantry::store
