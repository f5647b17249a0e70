// One request as it goes from node to node.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/async_unary_call.h>

#include <functional>
#include <memory>
#include <set>
#include <utility>

#include "base/rng.h"
#include "store/etcd_client.h"
#include "store/etcd_endpoints.h"

namespace gantry::store {

class EtcdCall;
class EtcdNodeStream;

// What calls share.
struct EtcdClient::Parts {
  EtcdLoop& loop;
  EtcdEndpoints endpoints;
  std::function<Now()> clock;
  Milliseconds request_timeout_ms;
  Rng rng;
  std::set<std::shared_ptr<EtcdCall>> calls = {};
  std::set<std::shared_ptr<EtcdNodeStream>> streams = {};
  bool closed = false;

  void failed(std::size_t endpoint, const EtcdStatus& status);
  Milliseconds wait_before(int count);
};

EtcdStatus status_of(const grpc::Status& status);

// A small question that a node answers by itself; its answer says which cluster the node is of.
struct EtcdQuestion {
  etcdserverpb::RangeRequest request;
  etcdserverpb::RangeResponse response;
  grpc::Status status;
  std::unique_ptr<grpc::ClientAsyncResponseReader<etcdserverpb::RangeResponse>> reader;

  void ask(EtcdEndpoint& endpoint, grpc::ClientContext& context, grpc::CompletionQueue* queue, void* tag);
};

class EtcdCall : public std::enable_shared_from_this<EtcdCall> {
 public:
  EtcdCall(EtcdClient::Parts& parts, bool repeatable) : parts_(parts), repeatable_(repeatable) {}
  virtual ~EtcdCall() = default;
  EtcdCall(const EtcdCall&) = delete;
  EtcdCall& operator=(const EtcdCall&) = delete;

  void start();
  void close();
  // That node has failed others: what is under way there is not waited for.
  void leave(std::size_t endpoint);

 protected:
  virtual void send(EtcdEndpoint& endpoint, grpc::ClientContext& context, grpc::CompletionQueue* queue,
                    grpc::Status* status, void* tag) = 0;
  // As the answer says it; 0: it does not.
  [[nodiscard]] virtual std::uint64_t cluster_id() const = 0;
  virtual void answer(EtcdStatus status, EtcdFate fate, bool was_in_doubt) = 0;

 private:
  void try_next();
  void connect();
  void send_now();
  void arm(std::size_t endpoint, Milliseconds timeout_ms);
  void ended(const EtcdStatus& status, EtcdFate fate);
  void try_again_later(const EtcdStatus& status);
  void finish(EtcdStatus status, EtcdFate fate);
  [[nodiscard]] Milliseconds left_ms() const { return deadline_ms_ - parts_.clock().monotonic_ms; }

  EtcdClient::Parts& parts_;
  const bool repeatable_;
  Milliseconds deadline_ms_ = 0;
  int tries_ = 0;
  bool was_in_doubt_ = false;
  bool finished_ = false;
  // Of the try under way.
  std::size_t endpoint_ = 0;
  bool left_ = false;
  std::unique_ptr<grpc::ClientContext> context_;
};

template <class Request, class Response>
class EtcdTypedCall final : public EtcdCall {
 public:
  using Reader = std::unique_ptr<grpc::ClientAsyncResponseReader<Response>>;
  using Start = std::function<Reader(EtcdEndpoint&, grpc::ClientContext*, const Request&, grpc::CompletionQueue*)>;

  EtcdTypedCall(EtcdClient::Parts& parts, bool repeatable, Request request, Start start,
                EtcdClient::Done<Response> done)
      : EtcdCall(parts, repeatable), request_(std::move(request)), start_(std::move(start)), done_(std::move(done)) {}

 private:
  void send(EtcdEndpoint& endpoint, grpc::ClientContext& context, grpc::CompletionQueue* queue, grpc::Status* status,
            void* tag) override {
    response_.Clear();
    reader_ = start_(endpoint, &context, request_, queue);
    reader_->Finish(&response_, status, tag);
  }
  [[nodiscard]] std::uint64_t cluster_id() const override { return response_.header().cluster_id(); }
  void answer(EtcdStatus status, EtcdFate fate, bool was_in_doubt) override {
    const auto done = std::exchange(done_, nullptr);
    done({std::move(status), fate, was_in_doubt, std::move(response_)});
  }

  Request request_;
  Start start_;
  EtcdClient::Done<Response> done_;
  Response response_;
  Reader reader_;
};

}  // namespace gantry::store
