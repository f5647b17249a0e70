#include "store/etcd_endpoints.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <utility>

namespace gantry::store {
namespace {

constexpr int kConnectMs = 3'000;
constexpr int kReconnectMs = 100;
constexpr int kReconnectMsMax = 2'000;
// etcd ends connections that ask more often than every 5 s.
constexpr int kKeepaliveMs = 10'000;
constexpr int kKeepaliveTimeoutMs = 5'000;
// A page of records, or one revision in pieces, is far smaller; a peer that goes mad must not take all memory.
constexpr int kMessageBytesMax = 256 << 20;

grpc::ChannelArguments channel_arguments() {
  grpc::ChannelArguments arguments;
  // A proxy that happens to be in the environment is none for us.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Whether to send something again is not for gRPC to decide.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectMs);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectMsMax);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  arguments.SetMaxSendMessageSize(-1);
  return arguments;
}

std::shared_ptr<grpc::ChannelCredentials> channel_credentials(const EtcdPems& given) {
  if (given.ca.empty()) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = given.ca;
  options.pem_cert_chain = given.certificate;
  options.pem_private_key = given.key;
  return grpc::SslCredentials(options);
}

}  // namespace

EtcdEndpoints::EtcdEndpoints(const std::vector<std::string>& addresses, const EtcdPems& pems,
                             std::function<void(const std::string&)> notice)
    : notice_(std::move(notice)) {
  const auto how = channel_credentials(pems);
  for (const std::string& address : addresses) {
    EtcdEndpoint& endpoint = endpoints_.emplace_back();
    endpoint.address = address;
    endpoint.channel = grpc::CreateCustomChannel(address, how, channel_arguments());
    endpoint.kv = etcdserverpb::KV::NewStub(endpoint.channel);
    endpoint.watch = etcdserverpb::Watch::NewStub(endpoint.channel);
    endpoint.lease = etcdserverpb::Lease::NewStub(endpoint.channel);
  }
}

bool EtcdEndpoints::is_of_cluster(std::size_t index, std::uint64_t cluster_id) {
  if (cluster_id_ == 0) cluster_id_ = cluster_id;
  endpoints_[index].ours = cluster_id == 0 || cluster_id == cluster_id_;
  return endpoints_[index].ours;
}

void EtcdEndpoints::served(std::size_t index) {
  EtcdEndpoint& endpoint = endpoints_[index];
  if (endpoint.trouble.empty()) return;
  endpoint.trouble.clear();
  if (notice_) notice_("etcd " + endpoint.address + " answers again");
}

bool EtcdEndpoints::failed(std::size_t index, const EtcdStatus& status) {
  EtcdEndpoint& endpoint = endpoints_[index];
  const bool news = endpoint.trouble.empty();
  endpoint.ours = false;
  endpoint.trouble = status.code == EtcdCode::deadline_exceeded ? "no answer in time" : status.message;
  if (endpoint.trouble.empty()) endpoint.trouble = "it ended the connection";
  if (news && notice_) notice_("etcd " + endpoint.address + " does not serve: " + endpoint.trouble);
  if (index != current_ || endpoints_.size() == 1) return false;
  current_ = (current_ + 1) % endpoints_.size();
  return true;
}

std::string EtcdEndpoints::troubles() const {
  std::string all;
  for (const EtcdEndpoint& endpoint : endpoints_) {
    if (endpoint.trouble.empty()) continue;
    all += (all.empty() ? "" : "; ") + endpoint.address + ": " + endpoint.trouble;
  }
  return all;
}

}  // namespace gantry::store
