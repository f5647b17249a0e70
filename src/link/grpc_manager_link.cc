#include "link/grpc_manager_link.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <utility>

#include "gantry/v1/join.grpc.pb.h"
#include "link/connection.h"
#include "link/link_hub.h"
#include "link/status.h"
#include "model/join_token.h"

namespace gantry::link {
namespace {

// What one host may say at once, and how much of that may be under way altogether.
constexpr int kMessageBytesMax = 4 << 20;
// Of a call with one answer: parsed, thousands of empty fields take many times the bytes they came in, and Join is
// anybody's.
constexpr std::size_t kCallBytesMax = 64U << 10U;
constexpr std::size_t kSecretBytesMax = 128;
// A certificate is checked and signed.
constexpr std::int64_t kRenewCost = 50 * kMessageCost;
constexpr std::size_t kQuotaBytes = 256U << 20U;
constexpr int kStreamsMax = 16;
constexpr int kIdleMs = 30'000;
constexpr int kHandshakeMs = 10'000;
constexpr Milliseconds kShutdownMs = 2'000;

// By the certificate that TLS has checked.
Result<HostIdentity> identify(const grpc::CallbackServerContext& context) {
  const auto certificates = context.auth_context()->FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  if (certificates.empty()) {
    return fail(ErrorCode::unauthenticated, "this needs a certificate of the cluster", "the caller has shown none",
                "join with a token first: gantryd join TOKEN");
  }
  const grpc::string_ref& pem = certificates.front();
  return read_host_certificate({pem.data(), pem.size()});
}

// Only says why.
class Refusal final : public grpc::ServerBidiReactor<v1::FromHost, v1::ToHost> {
 public:
  static Refusal* give(const Error& error) {
    const auto refusal = std::make_shared<Refusal>();
    refusal->self_ = refusal;
    refusal->Finish(to_status(error));
    return refusal.get();
  }
  void OnDone() override { self_.reset(); }

 private:
  std::shared_ptr<Refusal> self_;
};

template <class Request>
bool parse(const grpc::ByteBuffer& bytes, Request& request) {
  grpc::Slice slice;
  return bytes.Length() <= kCallBytesMax && bytes.DumpToSingleSlice(&slice).ok() &&
         request.ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
}

grpc::ByteBuffer to_buffer(const google::protobuf::MessageLite& answer) {
  const grpc::Slice slice(answer.SerializeAsString());
  return {&slice, 1};
}

Error bad_call() {
  return Error{ErrorCode::invalid_argument, "the manager cannot understand what it was asked",
               "it is too long, or not of this version", "see that both machines run the same version of Gantry"};
}

// Join and Renew come as bytes: what is too long is refused before it is parsed.
using Calls = v1::HostLink::WithRawCallbackMethod_Join<
    v1::HostLink::WithRawCallbackMethod_Renew<v1::HostLink::WithCallbackMethod_Connect<v1::HostLink::Service>>>;

class Service final : public Calls {
 public:
  Service(std::shared_ptr<LinkHub> hub, Credentials authority, Milliseconds host_certificate_ms, JoinHandler on_join)
      : hub_(std::move(hub)),
        authority_(std::move(authority)),
        host_certificate_ms_(host_certificate_ms),
        on_join_(std::move(on_join)) {}

  grpc::ServerBidiReactor<v1::FromHost, v1::ToHost>* Connect(grpc::CallbackServerContext* context) override {
    auto identity = identify(*context);
    if (!identity) return Refusal::give(identity.error());
    return Connection::open(hub_, *context, std::move(*identity));
  }

  grpc::ServerUnaryReactor* Join(grpc::CallbackServerContext* context, const grpc::ByteBuffer* asked,
                                 grpc::ByteBuffer* answer) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    const auto request = std::make_shared<v1::JoinRequest>();
    if (!parse(*asked, *request) || request->secret().size() > kSecretBytesMax) return refuse(reactor, bad_call());
    // Before the token is used up.
    if (auto good = check_request(request->certificate_request()); !good) return refuse(reactor, good.error());
    const auto call = pending(reactor);
    hub_->post([this, call, request, answer] {
      if (auto begun = hub_->begin(call); !begun) return call->finish(&begun.error());
      // Once the link has ended the call is finished, and what is gRPC's is gone.
      on_join_(*request, [this, call, answer, request](const Result<v1::Host>& host) {
        if (!call->finished()) joined(call, *answer, request->certificate_request(), host);
      });
    });
    return reactor;
  }

  grpc::ServerUnaryReactor* Renew(grpc::CallbackServerContext* context, const grpc::ByteBuffer* asked,
                                  grpc::ByteBuffer* answer) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    auto identity = identify(*context);
    if (!identity) return refuse(reactor, identity.error());
    v1::RenewRequest request;
    if (!parse(*asked, request)) return refuse(reactor, bad_call());
    const auto call = pending(reactor);
    hub_->post([this, call, answer, request = std::move(request), identity = std::move(*identity)] {
      if (auto member = hub_->check_member(identity); !member) return call->finish(&member.error());
      if (auto calm = hub_->charge_call(identity.host_id, kRenewCost); !calm) return call->finish(&calm.error());
      auto pem = sign(request.certificate_request(), identity.host_id);
      if (!pem) return call->finish(&pem.error());
      v1::RenewAnswer renewed;
      renewed.set_certificate_pem(std::move(*pem));
      *answer = to_buffer(renewed);
      call->finish(nullptr);
    });
    return reactor;
  }

 private:
  static grpc::ServerUnaryReactor* refuse(grpc::ServerUnaryReactor* reactor, const Error& error) {
    reactor->Finish(to_status(error));
    return reactor;
  }

  static PendingCallPtr pending(grpc::ServerUnaryReactor* reactor) {
    return std::make_shared<PendingCall>(
        [reactor](const Error* error) { reactor->Finish(error == nullptr ? grpc::Status::OK : to_status(*error)); });
  }

  [[nodiscard]] Result<std::string> sign(const std::string& request_pem, const std::string& host_id) const {
    const Milliseconds now_ms = hub_->executor().now().unix_ms;
    return sign_host(authority_, request_pem, host_id, {now_ms, now_ms + host_certificate_ms_});
  }

  void joined(const PendingCallPtr& call, grpc::ByteBuffer& answer, const std::string& request_pem,
              const Result<v1::Host>& host) {
    hub_->end(call);
    if (!host) return call->finish(&host.error());
    auto pem = sign(request_pem, host->meta().id());
    if (!pem) return call->finish(&pem.error());
    v1::JoinAnswer let_in;
    let_in.set_host_id(host->meta().id());
    let_in.set_host_name(host->meta().name());
    let_in.set_certificate_pem(std::move(*pem));
    answer = to_buffer(let_in);
    call->finish(nullptr);
  }

  std::shared_ptr<LinkHub> hub_;
  Credentials authority_;
  Milliseconds host_certificate_ms_;
  JoinHandler on_join_;
};

std::shared_ptr<grpc::ServerCredentials> server_credentials(const Credentials& authority, const Credentials& own) {
  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = authority.certificate_pem;
  // The authority's goes along, so that a machine with a token finds the one the token names.
  options.pem_key_cert_pairs.push_back({own.key_pem, own.certificate_pem + authority.certificate_pem});
  return grpc::SslServerCredentials(options);
}

void set_limits(grpc::ServerBuilder& builder, const ManagerLinkOptions& options) {
  const auto ping_ms = static_cast<int>(options.ping_ms);
  builder.SetMaxReceiveMessageSize(kMessageBytesMax);
  builder.SetMaxSendMessageSize(-1);
  builder.SetResourceQuota(grpc::ResourceQuota("link").Resize(kQuotaBytes));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsMax);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kIdleMs);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, ping_ms);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, ping_ms);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, ping_ms / 2);
  // Else two daemons could share a port, and hosts would meet either.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
}

}  // namespace

struct GrpcManagerLink::Server {
  Server(port::Executor& executor, port::ManagerLink& other) : hub(std::make_shared<LinkHub>(executor)), local(other) {}

  std::shared_ptr<LinkHub> hub;
  port::ManagerLink& local;
  std::unique_ptr<Service> service;
  std::unique_ptr<grpc::Server> grpc_server;
};

GrpcManagerLink::GrpcManagerLink(port::Executor& executor, port::ManagerLink& local)
    : server_(std::make_unique<Server>(executor, local)) {}

GrpcManagerLink::~GrpcManagerLink() { stop(); }

Result<std::uint16_t> GrpcManagerLink::listen(const Credentials& authority, const ManagerLinkOptions& options,
                                              JoinHandler on_join) {
  silence_grpc();
  const Milliseconds now_ms = server_->hub->executor().now().unix_ms;
  auto validity = validity_of(authority.certificate_pem);
  if (!validity) return fail(std::move(validity.error()));
  // In memory alone, so it may be used for as long as the authority.
  auto own = make_manager_credentials(authority, {now_ms, validity->until_ms});
  if (!own) return fail(std::move(own.error()));
  server_->service =
      std::make_unique<Service>(server_->hub, authority, options.host_certificate_ms, std::move(on_join));
  grpc::ServerBuilder builder;
  set_limits(builder, options);
  int port = 0;
  builder.AddListeningPort(model::format_link_address(options.address, options.port),
                           server_credentials(authority, *own), &port);
  builder.RegisterService(server_->service.get());
  server_->grpc_server = builder.BuildAndStart();
  if (server_->grpc_server && port > 0) return static_cast<std::uint16_t>(port);
  return fail(ErrorCode::unavailable,
              "cannot listen for hosts on " + model::format_link_address(options.address, options.port),
              "the address is not this machine's, or the port is in use",
              "choose another --link-listen or --link-port, or end what uses it");
}

void GrpcManagerLink::stop() {
  if (!server_->grpc_server) return;
  server_->hub->post([hub = server_->hub] { hub->stop(); });
  server_->grpc_server->Shutdown(gpr_time_from_millis(kShutdownMs, GPR_TIMESPAN));
  server_->grpc_server.reset();
}

void GrpcManagerLink::send(const std::string& host_id, const v1::ToHost& message) {
  if (!server_->hub->send(host_id, message)) server_->local.send(host_id, message);
}

void GrpcManagerLink::on_message(std::function<void(const v1::FromHost&)> handler) {
  server_->local.on_message(handler);
  server_->hub->message_handler = std::move(handler);
}

void GrpcManagerLink::on_connection(std::function<void(const std::string&, bool)> handler) {
  server_->local.on_connection(handler);
  server_->hub->connection_handler = std::move(handler);
}

void GrpcManagerLink::on_admission(std::function<port::Standing(const std::string&)> handler) {
  server_->hub->admission_handler = std::move(handler);
}

void GrpcManagerLink::drop(const std::string& host_id) { server_->hub->drop(host_id); }

}  // namespace gantry::link
