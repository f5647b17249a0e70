#include "link/join_client.h"

#include <grpcpp/client_context.h>

#include "base/hex.h"
#include "gantry/v1/join.grpc.pb.h"
#include "link/channel.h"
#include "link/pinned_authority.h"
#include "link/status.h"

namespace gantry::link {
namespace {

// The manager waits up to 10 s for its store.
constexpr Milliseconds kAnswerMs = 20'000;

Result<v1::JoinAnswer> ask(const v1::JoinToken& token, const JoinWish& wish, const std::string& address,
                           const std::string& authority_pem, const std::string& certificate_request) {
  v1::JoinRequest request;
  request.set_secret(token.secret());
  request.set_certificate_request(certificate_request);
  request.set_host_name(wish.host_name);
  request.set_pool_path(wish.pool_path);
  for (const std::string& subnet : wish.taken_subnets) request.add_taken_subnets(subnet);
  const auto stub =
      v1::HostLink::NewStub(make_channel({.address = address, .authority_pem = authority_pem, .own = {}}));
  grpc::ClientContext context;
  context.set_deadline(gpr_time_from_millis(kAnswerMs, GPR_TIMESPAN));
  v1::JoinAnswer answer;
  const grpc::Status status = stub->Join(&context, request, &answer);
  if (status.ok()) return answer;
  Error error = to_error(status);
  if (error.reason.empty()) {
    error.next_step =
        "the token may be used up: see \"gantry host list\" on the manager, take away what is there without a machine "
        "by \"gantry host leave\", and make a new token";
  }
  return fail(std::move(error));
}

}  // namespace

Result<std::string> find_manager(const v1::JoinToken& token, Milliseconds step_ms, std::string& address) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(token.authority_fingerprint().data());
  const std::string fingerprint = to_hex(bytes, token.authority_fingerprint().size());
  Error trouble;
  for (const std::string& each : token.addresses()) {
    const auto parsed = model::parse_link_address(each);
    if (!parsed) return fail(parsed.error());
    auto found = fetch_authority(*parsed, fingerprint, step_ms);
    address = each;
    if (found) return found;
    if (trouble.summary.empty()) {
      trouble = std::move(found.error());
    } else {
      trouble.cause += "; and " + found.error().summary + ": " + found.error().cause;
    }
  }
  return fail(std::move(trouble));
}

Result<HostCredentials> join_cluster(const v1::JoinToken& token, const JoinWish& wish) {
  HostCredentials credentials;
  std::string address;
  auto authority_pem = find_manager(token, wish.step_ms, address);
  if (!authority_pem) return fail(std::move(authority_pem.error()));
  auto key = make_key_request();
  if (!key) return fail(std::move(key.error()));
  const auto answer = ask(token, wish, address, *authority_pem, key->request_pem);
  if (!answer) return fail(answer.error());
  credentials.host_id = answer->host_id();
  credentials.host_name = answer->host_name();
  credentials.addresses.assign(token.addresses().begin(), token.addresses().end());
  // The pinned one, whatever else was sent.
  credentials.authority_pem = std::move(*authority_pem);
  credentials.own = {answer->certificate_pem(), std::move(key->key_pem)};
  if (auto good = check_host_credentials(credentials.authority_pem, credentials.own, credentials.host_id); !good) {
    return fail(std::move(good.error()));
  }
  return credentials;
}

}  // namespace gantry::link
