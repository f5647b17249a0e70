#include "server/host_tokens.h"

#include "gantry/v1/join.pb.h"
#include "model/join_token.h"
#include "server/api_handler.h"
#include "server/secrets.h"

namespace gantry::server {

void create_host_token(ApiHandler& api, const std::optional<JoinPoint>& point, const port::CallOptions& options,
                       MessageDone done) {
  if (!point) {
    return done(fail(ErrorCode::unsupported, "no host can join this manager", "it does not listen for hosts",
                     "start gantryd with --link-listen ADDRESS, or put link-listen=ADDRESS into its configuration",
                     "link_off"));
  }
  if (point->addresses.empty()) {
    return done(fail(ErrorCode::unsupported, "hosts cannot be told where to find this manager",
                     "its machine had no address beyond the loopback when gantryd started",
                     "start gantryd again, or with --link-address NAME", "link_off"));
  }
  v1::JoinToken token;
  for (const std::string& address : point->addresses) token.add_addresses(address);
  token.set_authority_fingerprint(point->authority_fingerprint);
  token.set_secret(new_token(""));
  v1::KeepHostTokenRequest request;
  request.set_secret_hash(sha256_hex(token.secret()));
  api.call("KeepHostToken", request, options, [token, done = std::move(done)](auto kept) {
    if (!kept) return done(fail(kept.error()));
    const std::shared_ptr<const google::protobuf::Message> answered = std::move(*kept);
    // A dry run's plan.
    if (dynamic_cast<const v1::Accepted*>(answered.get()) != nullptr) return done(answered);
    const auto* record = dynamic_cast<const v1::HostToken*>(answered.get());
    if (record == nullptr) {
      return done(fail(ErrorCode::internal, "no token was made", "the manager gave an answer of another kind",
                       "please report it"));
    }
    auto answer = std::make_shared<v1::CreateHostTokenAnswer>();
    answer->set_token(model::format_join_token(token));
    *answer->mutable_expires_at() = record->expires_at();
    *answer->mutable_addresses() = token.addresses();
    done(std::shared_ptr<const google::protobuf::Message>(std::move(answer)));
  });
}

}  // namespace gantry::server
