// A watch's stream at one node.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/async_stream.h>

#include <memory>
#include <string>

#include "store/etcd_call.h"

namespace gantry::store {

class EtcdNodeStream final : public EtcdStream, public std::enable_shared_from_this<EtcdNodeStream> {
 public:
  EtcdNodeStream(EtcdClient::Parts& parts, EtcdClient::StreamEvents events)
      : parts_(parts), events_(std::move(events)) {}

  void open(const etcdserverpb::WatchCreateRequest& request);
  void cancel() override;
  void blame(const std::string& why) override;
  [[nodiscard]] std::size_t endpoint() const { return endpoint_; }

 private:
  // One operation at a time: start, write, then read after read, at last finish.
  void started(bool ok);
  void written(bool ok);
  void read();
  void has_read(bool ok);
  void finish();
  void finished();

  EtcdClient::Parts& parts_;
  EtcdClient::StreamEvents events_;
  std::size_t endpoint_ = 0;
  grpc::ClientContext context_;
  etcdserverpb::WatchRequest request_;
  etcdserverpb::WatchResponse answer_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<etcdserverpb::WatchRequest, etcdserverpb::WatchResponse>> stream_;
  grpc::Status status_;
  // We ended it ourselves; and why, when the node is to blame.
  bool cancelled_ = false;
  std::string blame_;
};

}  // namespace gantry::store
