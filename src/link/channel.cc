#include "link/channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include "link/status.h"

namespace gantry::link {
namespace {
constexpr int kConnectMs = 5'000;
}  // namespace

std::shared_ptr<grpc::Channel> make_channel(const ChannelOptions& options) {
  silence_grpc();
  const auto ping_ms = static_cast<int>(options.ping_ms);
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = options.authority_pem;
  tls.pem_private_key = options.own.key_pem;
  tls.pem_cert_chain = options.own.certificate_pem;
  grpc::ChannelArguments arguments;
  // Managers are known by the authority, not by where they are.
  arguments.SetSslTargetNameOverride(std::string(kManagerName));
  // Else two channels with different certificates could share a connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, ping_ms);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, ping_ms);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectMs);
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel("dns:///" + options.address, grpc::SslCredentials(tls), arguments);
}

}  // namespace gantry::link
