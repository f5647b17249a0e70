#include <google/protobuf/util/time_util.h>

#include "base/id.h"
#include "model/keys.h"
#include "model/names.h"
#include "server/accounts.h"
#include "server/secrets.h"

namespace gantry::server {
namespace {

using google::protobuf::util::TimeUtil;

constexpr std::size_t kTokensMax = 100;
constexpr std::uint32_t kLifetimeDaysMax = 36'500;

Error name_taken(const std::string& name) {
  return Error{ErrorCode::already_exists, "the token was not made", "you have a token named \"" + name + "\"",
               "choose another name"};
}

// No token makes one that may more or for longer than itself; one for a role makes none (check_permitted).
Result<void> check_within(const Caller& caller, const v1::CreateTokenRequest& request, Milliseconds now_unix_ms) {
  if (!v1::Role_IsValid(request.role_max())) {
    return fail(ErrorCode::invalid_argument, "the token was not made", "roleMax is not a role",
                "choose VIEWER, OPERATOR or ADMINISTRATOR");
  }
  if (auto may = check_role(request.role_max(), caller); !may) return may;
  if (caller.kind != v1::CurrentSession::API_TOKEN || caller.ends_unix_ms == 0) return {};
  const Milliseconds end_ms = now_unix_ms + Milliseconds{request.lifetime_days()} * 86'400'000;
  if (request.lifetime_days() != 0 && end_ms <= caller.ends_unix_ms) return {};
  return fail(ErrorCode::permission_denied, "the token was not made",
              "it would outlive the API token that this call is made with",
              "give it fewer days, or sign in with the password", "outlives_token");
}

std::string name_key_of(const std::string& user, const std::string& name) {
  return model::name_key(model::kApiToken, user + "/" + name);
}

// The tokens of one user among all.
v1::ApiTokenList tokens_of(const port::Range& range, const std::string& user) {
  v1::ApiTokenList list;
  for (const port::Entry& entry : range.entries) {
    v1::ApiToken record;
    if (!record.ParseFromString(entry.value) || record.user() != user) continue;
    record.mutable_meta()->set_revision(entry.modified);
    *list.add_items() = std::move(record);
  }
  return list;
}

}  // namespace

void Accounts::list_tokens(const Caller& caller, Done<v1::ApiTokenList> done) {
  store_.range(model::prefix_of(model::kApiToken), [caller, done = std::move(done)](const Result<port::Range>& range) {
    if (!range) return done(fail(range.error()));
    auto list = tokens_of(*range, caller.user);
    for (v1::ApiToken& record : *list.mutable_items()) record.clear_token_hash();
    done(list);
  });
}

void Accounts::create_token(const Caller& caller, const v1::CreateTokenRequest& request, bool dry_run,
                            const Done<MessagePtr>& done) {
  if (!model::is_name(request.name())) {
    return done(fail(ErrorCode::invalid_argument, "the token was not made",
                     "name must be 1 to 63 of a-z, 0-9 and \"-\", beginning with a letter, not ending with \"-\"",
                     "choose another name"));
  }
  if (request.lifetime_days() > kLifetimeDaysMax) {
    return done(fail(ErrorCode::invalid_argument, "the token was not made", "lifetimeDays is at most 36500",
                     "give 0 for a token without end"));
  }
  if (auto allowed = check_within(caller, request, now_().unix_ms); !allowed) return done(fail(allowed.error()));
  store_.range(model::prefix_of(model::kApiToken), [=, this](const Result<port::Range>& range) {
    if (!range) return done(fail(range.error()));
    const auto mine = tokens_of(*range, caller.user);
    if (static_cast<std::size_t>(mine.items_size()) >= kTokensMax) {
      return done(fail(ErrorCode::conflict, "the token was not made", "you have 100 tokens already",
                       "delete one you no longer use", "too_many_tokens"));
    }
    if (!dry_run) return store_token(caller, request, done);
    for (const v1::ApiToken& record : mine.items()) {
      if (record.meta().name() == request.name()) return done(fail(name_taken(request.name())));
    }
    const std::string end =
        request.lifetime_days() == 0 ? "without end" : "for " + std::to_string(request.lifetime_days()) + " days";
    const std::string role = request.role_max() == v1::NO_ROLE ? "" : ", at most " + role_word(request.role_max());
    done(plan_answer({"make API token " + request.name() + " of user " + caller.user + ", " + end + role}));
  });
}

void Accounts::store_token(const Caller& caller, const v1::CreateTokenRequest& request, const Done<MessagePtr>& done) {
  const std::string token = new_token("gt_");
  const Milliseconds now_ms = now_().unix_ms;
  v1::ApiToken record;
  record.mutable_meta()->set_id(make_id("token", rng_));
  record.mutable_meta()->set_name(request.name());
  *record.mutable_meta()->mutable_created_at() = TimeUtil::MillisecondsToTimestamp(now_ms);
  record.mutable_meta()->set_schema_version(1);
  record.set_user(caller.user);
  record.set_user_id(caller.user_id);
  record.set_role_max(request.role_max());
  record.set_token_hash(sha256_hex(token));
  if (request.lifetime_days() > 0) {
    const Milliseconds lifetime_ms = Milliseconds{request.lifetime_days()} * 86'400'000;
    *record.mutable_expires_at() = TimeUtil::MillisecondsToTimestamp(now_ms + lifetime_ms);
  }
  port::Txn txn;
  const std::string name_key = name_key_of(caller.user, request.name());
  txn.compares.push_back({name_key, 0});
  txn.writes.push_back({.key = name_key, .value = record.meta().id()});
  txn.writes.push_back(
      {.key = model::record_key(model::kApiToken, record.token_hash()), .value = record.SerializeAsString()});
  store_.commit(std::move(txn), [record, token, done](const Result<bool>& committed) {
    if (!committed) return done(fail(committed.error()));
    if (!*committed) return done(fail(name_taken(record.meta().name())));
    auto answer = std::make_shared<v1::CreateTokenAnswer>();
    answer->set_token(token);
    *answer->mutable_record() = record;
    answer->mutable_record()->clear_token_hash();
    done(std::move(answer));
  });
}

void Accounts::delete_token(const Caller& caller, const v1::ById& request, bool dry_run, const Done<MessagePtr>& done) {
  store_.range(model::prefix_of(model::kApiToken), [=, this](const Result<port::Range>& range) {
    if (!range) return done(fail(range.error()));
    const auto mine = tokens_of(*range, caller.user);
    for (const v1::ApiToken& record : mine.items()) {
      if (record.meta().id() != request.id() && record.meta().name() != request.id()) continue;
      if (dry_run) return done(plan_answer({"revoke API token " + record.meta().name() + " of user " + caller.user}));
      port::Txn txn;
      txn.writes.push_back({.kind = port::Write::Kind::erase,
                            .key = model::record_key(model::kApiToken, record.token_hash()),
                            .value = {}});
      txn.writes.push_back(
          {.kind = port::Write::Kind::erase, .key = name_key_of(caller.user, record.meta().name()), .value = {}});
      return commit_and_answer(std::move(txn), {}, done);
    }
    done(fail(ErrorCode::not_found, "there is no token \"" + request.id() + "\"", "you have none with that id or name",
              "list your tokens"));
  });
}

}  // namespace gantry::server
