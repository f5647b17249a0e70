// The nodes of an etcd cluster and which of them is used. All calls go to one node until it fails; then to the next.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>
#include <vector>

#include "store/etcd_pems.h"
#include "store/etcd_rpc.grpc.pb.h"
#include "store/etcd_status.h"
#include "store/etcd_store.h"

namespace gantry::store {

struct EtcdEndpoint {
  std::string address;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<etcdserverpb::KV::Stub> kv;
  std::unique_ptr<etcdserverpb::Watch::Stub> watch;
  std::unique_ptr<etcdserverpb::Lease::Stub> lease;
  // Why it did not serve last; empty: it did, or was not asked.
  std::string trouble;
  // Its last answer was one of the cluster's, and nothing has failed since.
  bool ours = false;

  // A connection stands, to a node of the cluster: a request sent now leaves this process.
  [[nodiscard]] bool connected() const { return ours && channel->GetState(false) == GRPC_CHANNEL_READY; }
};

class EtcdEndpoints {
 public:
  EtcdEndpoints(const std::vector<std::string>& addresses, const EtcdPems& pems,
                std::function<void(const std::string&)> notice);

  [[nodiscard]] std::size_t count() const { return endpoints_.size(); }
  [[nodiscard]] std::size_t current() const { return current_; }
  [[nodiscard]] EtcdEndpoint& at(std::size_t index) { return endpoints_[index]; }

  // Whether an answer that names its cluster so is one of the cluster that answered first. A node that was set up alone
  // by mistake would take writes that the others never see.
  bool is_of_cluster(std::size_t index, std::uint64_t cluster_id);
  // It answered.
  void served(std::size_t index);
  // It did not. However many calls met that, the next node is taken once; true when it was.
  bool failed(std::size_t index, const EtcdStatus& status);
  // What is wrong with which, for people.
  [[nodiscard]] std::string troubles() const;

 private:
  std::vector<EtcdEndpoint> endpoints_;
  std::size_t current_ = 0;
  // 0: not known yet.
  std::uint64_t cluster_id_ = 0;
  std::function<void(const std::string&)> notice_;
};

}  // namespace gantry::store
