// Requests to an etcd cluster: to the node in use, and to another when that one fails. On the loop only.
//
// Requests that may be repeated are, after a growing wait, until they are answered or their time is up. A transaction
// is sent only over a connection that stands, and is not sent again once it may have been carried out.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "store/etcd_loop.h"
#include "store/etcd_pems.h"
#include "store/etcd_rpc.pb.h"
#include "store/etcd_status.h"
#include "store/etcd_store.h"

namespace gantry::store {

// Of a watch at one node. Its end is told once, by the node's fault or after cancel().
class EtcdStream {
 public:
  virtual ~EtcdStream() = default;
  virtual void cancel() = 0;
  // What it said makes no sense, or it is too slow: takes another node.
  virtual void blame(const std::string& why) = 0;
};

class EtcdClient {
 public:
  template <class Message>
  using Done = std::function<void(EtcdReply<Message>)>;
  struct StreamEvents {
    std::function<void(const etcdserverpb::WatchResponse&)> answer;
    std::function<void(EtcdStatus)> end;
  };

  EtcdClient(EtcdLoop& loop, const EtcdStoreOptions& options, const EtcdPems& pems);
  ~EtcdClient();
  EtcdClient(const EtcdClient&) = delete;
  EtcdClient& operator=(const EtcdClient&) = delete;

  void range(etcdserverpb::RangeRequest request, Done<etcdserverpb::RangeResponse> done);
  void txn(etcdserverpb::TxnRequest request, Done<etcdserverpb::TxnResponse> done);
  void compact(etcdserverpb::CompactionRequest request, Done<etcdserverpb::CompactionResponse> done);
  void grant(etcdserverpb::LeaseGrantRequest request, Done<etcdserverpb::LeaseGrantResponse> done);
  void keep_alive(etcdserverpb::LeaseKeepAliveRequest request, Done<etcdserverpb::LeaseKeepAliveResponse> done);
  void revoke(etcdserverpb::LeaseRevokeRequest request, Done<etcdserverpb::LeaseRevokeResponse> done);
  std::shared_ptr<EtcdStream> watch(const etcdserverpb::WatchCreateRequest& request, StreamEvents events);

  // Asks each node once which cluster it is of, and tells, for each cluster, the nodes that said so in good time. Not
  // ended by close().
  using Clusters = std::map<std::uint64_t, std::vector<std::string>>;
  void ask_clusters(std::function<void(const Clusters&)> done);

  // Ends all that is under way; what comes later is answered at once.
  void close();
  // What is wrong with which node, for people.
  [[nodiscard]] std::string troubles() const;
  // A wait before trying for the `count`th time since it last worked: random, so that not all come at once.
  [[nodiscard]] Milliseconds wait_before(int count);

  // For its own files.
  struct Parts;

 private:
  std::unique_ptr<Parts> parts_;
};

}  // namespace gantry::store
