#include "store/etcd_client.h"

#include <algorithm>
#include <random>
#include <utility>

#include "store/etcd_call.h"
#include "store/etcd_stream.h"

namespace gantry::store {
namespace {

constexpr Milliseconds kFirstWaitMs = 50;
constexpr Milliseconds kLastWaitMs = 2'000;
// A node that is down must not keep the others from being used for long.
constexpr Milliseconds kWhoAreYouMs = 2'000;

std::uint64_t random_seed() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32U) | device();
}

template <class Request, class Response, class Start>
void call(EtcdClient::Parts& parts, bool repeatable, Request request, Start start, EtcdClient::Done<Response> done) {
  std::make_shared<EtcdTypedCall<Request, Response>>(parts, repeatable, std::move(request), std::move(start),
                                                     std::move(done))
      ->start();
}

// When the last of them is gone, everybody has answered or had the time to.
struct Census {
  std::function<void(const EtcdClient::Clusters&)> done;
  EtcdClient::Clusters clusters = {};

  explicit Census(std::function<void(const EtcdClient::Clusters&)> then) : done(std::move(then)) {}
  ~Census() { done(clusters); }
  Census(const Census&) = delete;
  Census& operator=(const Census&) = delete;
};

struct CensusQuestion {
  grpc::ClientContext context;
  EtcdQuestion question;
};

}  // namespace

void EtcdClient::Parts::failed(std::size_t endpoint, const EtcdStatus& status) {
  if (!endpoints.failed(endpoint, status)) return;
  // Watches and calls follow: at a node that stands still they would wait for its connection to be given up.
  for (const auto& stream : streams) {
    if (stream->endpoint() == endpoint) stream->cancel();
  }
  for (const auto& call : calls) call->leave(endpoint);
}

Milliseconds EtcdClient::Parts::wait_before(int count) {
  const Milliseconds whole_ms = std::min(kLastWaitMs, kFirstWaitMs << std::clamp(count, 0, 6));
  return whole_ms / 2 + static_cast<Milliseconds>(rng.below(static_cast<std::uint64_t>(whole_ms / 2 + 1)));
}

EtcdClient::EtcdClient(EtcdLoop& loop, const EtcdStoreOptions& options, const EtcdPems& pems)
    : parts_(std::unique_ptr<Parts>(new Parts{.loop = loop,
                                              .endpoints = {options.endpoints, pems, options.notice},
                                              .clock = options.clock,
                                              .request_timeout_ms = options.request_timeout_ms,
                                              .rng = Rng(random_seed())})) {}
EtcdClient::~EtcdClient() = default;

void EtcdClient::range(etcdserverpb::RangeRequest request, Done<etcdserverpb::RangeResponse> done) {
  call(
      *parts_, true, std::move(request),
      [](auto& to, auto* context, const auto& what, auto* queue) { return to.kv->AsyncRange(context, what, queue); },
      std::move(done));
}

void EtcdClient::txn(etcdserverpb::TxnRequest request, Done<etcdserverpb::TxnResponse> done) {
  call(
      *parts_, false, std::move(request),
      [](auto& to, auto* context, const auto& what, auto* queue) { return to.kv->AsyncTxn(context, what, queue); },
      std::move(done));
}

void EtcdClient::compact(etcdserverpb::CompactionRequest request, Done<etcdserverpb::CompactionResponse> done) {
  call(
      *parts_, true, std::move(request),
      [](auto& to, auto* context, const auto& what, auto* queue) { return to.kv->AsyncCompact(context, what, queue); },
      std::move(done));
}

void EtcdClient::grant(etcdserverpb::LeaseGrantRequest request, Done<etcdserverpb::LeaseGrantResponse> done) {
  // One that was granted unheard of ends by itself.
  call(
      *parts_, true, std::move(request),
      [](auto& to, auto* context, const auto& what, auto* queue) {
        return to.lease->AsyncLeaseGrant(context, what, queue);
      },
      std::move(done));
}

void EtcdClient::keep_alive(etcdserverpb::LeaseKeepAliveRequest request,
                            Done<etcdserverpb::LeaseKeepAliveResponse> done) {
  call(
      *parts_, true, std::move(request),
      [](auto& to, auto* context, const auto& what, auto* queue) {
        return to.lease->AsyncLeaseKeepAlive(context, what, queue);
      },
      std::move(done));
}

void EtcdClient::revoke(etcdserverpb::LeaseRevokeRequest request, Done<etcdserverpb::LeaseRevokeResponse> done) {
  call(
      *parts_, true, std::move(request),
      [](auto& to, auto* context, const auto& what, auto* queue) {
        return to.lease->AsyncLeaseRevoke(context, what, queue);
      },
      std::move(done));
}

void EtcdClient::ask_clusters(std::function<void(const Clusters&)> done) {
  const auto census = std::make_shared<Census>(std::move(done));
  for (std::size_t index = 0; index < parts_->endpoints.count(); ++index) {
    EtcdEndpoint& endpoint = parts_->endpoints.at(index);
    auto one = std::make_shared<CensusQuestion>();
    one->context.set_deadline(gpr_time_from_millis(kWhoAreYouMs, GPR_TIMESPAN));
    void* tag = parts_->loop.begin([census, one, address = endpoint.address](bool) {
      const std::uint64_t cluster = one->question.response.header().cluster_id();
      if (one->question.status.ok() && cluster != 0) census->clusters[cluster].push_back(address);
    });
    one->question.ask(endpoint, one->context, parts_->loop.queue(), tag);
  }
}

void EtcdClient::close() {
  parts_->closed = true;
  // Closing one takes it out.
  const auto calls = parts_->calls;
  for (const auto& each : calls) each->close();
  for (const auto& stream : parts_->streams) stream->cancel();
}

std::string EtcdClient::troubles() const { return parts_->endpoints.troubles(); }
Milliseconds EtcdClient::wait_before(int count) { return parts_->wait_before(count); }

std::shared_ptr<EtcdStream> EtcdClient::watch(const etcdserverpb::WatchCreateRequest& request, StreamEvents events) {
  auto stream = std::make_shared<EtcdNodeStream>(*parts_, std::move(events));
  stream->open(request);
  return stream;
}

}  // namespace gantry::store
