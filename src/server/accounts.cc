#include "server/accounts.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <utility>

#include "base/id.h"
#include "model/keys.h"
#include "server/secrets.h"

namespace gantry::server {
namespace {

using google::protobuf::util::TimeUtil;

constexpr Milliseconds kSessionIdleMs = 12LL * 3'600'000;
constexpr Milliseconds kSessionMs = 7LL * 24 * 3'600'000;
constexpr Milliseconds kRenewAfterMs = 3'600'000;
constexpr std::size_t kHashingMax = 8;

Error wrong_login() {
  return Error{ErrorCode::unauthenticated, "the login failed", "the user or the password is wrong",
               "check both; root on the server's machine can set a new password: gantry password --user admin",
               "wrong_login"};
}

Milliseconds end_of(const v1::Session& session) {
  if (session.has_ends_at()) return TimeUtil::TimestampToMilliseconds(session.ends_at());
  return TimeUtil::TimestampToMilliseconds(session.meta().created_at()) + kSessionMs;
}

}  // namespace

Accounts::Accounts(StoreClient store, PosterPtr poster, std::function<Now()> now, const std::string& local_token)
    : store_(std::move(store)),
      poster_(std::move(poster)),
      now_(std::move(now)),
      local_hash_(local_token.empty() ? "" : sha256_hex(local_token)),
      rng_(random_seed()) {}

Error Accounts::unknown_token() const {
  return Error{ErrorCode::unauthenticated, "the token or session is not valid",
               "it is unknown, has ended or was revoked", "log in again", "invalid_token"};
}

void Accounts::authenticate(const Credentials& credentials, bool renew, const Done<Caller>& done) {
  const std::string hash = sha256_hex(credentials.token);
  const bool by_cookie = credentials.by_cookie;
  if (!by_cookie && !local_hash_.empty() && same_secret(hash, local_hash_)) {
    return done(
        Caller{.user = kLocalRoot, .token_hash = hash, .is_local = true, .kind = v1::CurrentSession::LOCAL_TOKEN});
  }
  store_.get(model::record_key(model::kSession, hash), [=, this](const Result<std::optional<port::Entry>>& found) {
    if (!found) return done(fail(found.error()));
    if (*found) return authenticate_session(**found, by_cookie, renew, done);
    if (by_cookie) return done(fail(unknown_token()));
    authenticate_api_token(hash, done);
  });
}

void Accounts::authenticate_session(const port::Entry& entry, bool by_cookie, bool renew, const Done<Caller>& done) {
  v1::Session session;
  // What was given to scripts is not taken from a cookie, nor the other way: each way has its own guards.
  if (!session.ParseFromString(entry.value) || session.by_cookie() != by_cookie) return done(fail(unknown_token()));
  Caller caller{.user = session.user(), .token_hash = session.token_hash()};
  caller.expires_unix_ms = TimeUtil::TimestampToMilliseconds(session.expires_at());
  caller.ends_unix_ms = end_of(session);
  if (std::min(caller.expires_unix_ms, caller.ends_unix_ms) <= now_().unix_ms) return done(fail(unknown_token()));
  if (renew) caller.expires_unix_ms = renew_session(entry, session);
  done(caller);
}

void Accounts::authenticate_api_token(const std::string& hash, const Done<Caller>& done) {
  store_.get(model::record_key(model::kApiToken, hash), [=, this](const Result<std::optional<port::Entry>>& found) {
    if (!found) return done(fail(found.error()));
    v1::ApiToken record;
    if (!*found || !record.ParseFromString((*found)->value)) return done(fail(unknown_token()));
    Caller caller{.user = record.user(), .token_hash = hash, .kind = v1::CurrentSession::API_TOKEN};
    if (record.has_expires_at()) {
      caller.expires_unix_ms = TimeUtil::TimestampToMilliseconds(record.expires_at());
      caller.ends_unix_ms = caller.expires_unix_ms;
      if (caller.ends_unix_ms <= now_().unix_ms) return done(fail(unknown_token()));
    }
    done(caller);
  });
}

Milliseconds Accounts::renew_session(const port::Entry& entry, v1::Session session) {
  const Milliseconds expires_ms = TimeUtil::TimestampToMilliseconds(session.expires_at());
  const Milliseconds fresh_ms = std::min(now_().unix_ms + kSessionIdleMs, end_of(session));
  if (fresh_ms - expires_ms < kRenewAfterMs) return expires_ms;
  *session.mutable_expires_at() = TimeUtil::MillisecondsToTimestamp(fresh_ms);
  port::Txn txn;
  txn.compares.push_back({entry.key, entry.modified});
  txn.writes.push_back({.key = entry.key, .value = session.SerializeAsString()});
  // Whatever comes of it: the next use tries again.
  store_.commit(std::move(txn), [](const Result<bool>&) {});
  return fresh_ms;
}

v1::CurrentSession Accounts::describe(const Caller& caller) {
  v1::CurrentSession answer;
  answer.set_user(caller.user);
  answer.set_kind(caller.kind);
  if (caller.expires_unix_ms != 0) {
    *answer.mutable_expires_at() = TimeUtil::MillisecondsToTimestamp(caller.expires_unix_ms);
  }
  if (caller.ends_unix_ms != 0) *answer.mutable_ends_at() = TimeUtil::MillisecondsToTimestamp(caller.ends_unix_ms);
  return answer;
}

void Accounts::hash_on_worker(const Caller& caller, std::function<Result<std::string>()> work, Done<std::string> done) {
  if (hashing_ >= kHashingMax && !caller.is_local) {
    return done(fail(ErrorCode::unavailable, "too many logins at once", "passwords are checked one at a time",
                     "try again in a moment", "too_many_attempts"));
  }
  ++hashing_;
  worker_.submit([this, poster = poster_, work = std::move(work), done = std::move(done)] {
    auto result = work();
    poster->post([this, result = std::move(result), done] {
      --hashing_;
      done(result);
    });
  });
}

Result<void> Accounts::begin_attempt(const std::string& user, const std::string& network, const char* summary,
                                     const char* cause) {
  const Milliseconds wait_ms = throttle_.begin(user, network, now_().monotonic_ms);
  if (wait_ms == 0) return {};
  Error error{ErrorCode::unavailable, summary, cause, "try again in " + std::to_string(wait_ms / 1000 + 1) + " s",
              "too_many_attempts"};
  error.retry_after_ms = wait_ms;
  return fail(std::move(error));
}

void Accounts::login(const v1::LoginRequest& request, const std::string& address, const Done<v1::LoginAnswer>& done) {
  if (request.user().empty() || request.user().size() > 63 || request.password().size() > kPasswordBytesMax) {
    return done(fail(wrong_login()));
  }
  const std::string network = network_of(address);
  if (auto begun = begin_attempt(request.user(), network, "too many failed logins",
                                 "this user has to wait at your address, or all of your network");
      !begun) {
    return done(fail(std::move(begun.error())));
  }
  const std::string key = model::record_key(model::kUser, request.user());
  store_.get(key, [=, this](const Result<std::optional<port::Entry>>& found) {
    if (!found) return done(fail(found.error()));
    v1::User user;
    const bool known = *found && user.ParseFromString((*found)->value);
    auto check = [hash = known ? user.password_hash() : nobody_hash_, known,
                  password = request.password()]() -> Result<std::string> {
      // The first time nobody_hash_ is made, which takes as long as to verify it.
      if (!known && hash.empty()) return hash_password(password);
      if (verify_password(hash, password) && known) return std::string();
      return known ? Result<std::string>(fail(wrong_login())) : Result<std::string>(hash);
    };
    hash_on_worker({}, std::move(check), [=, this](const Result<std::string>& checked) {
      if (!checked) return done(fail(checked.error()));
      if (!known) {
        nobody_hash_ = *checked;
        return done(fail(wrong_login()));
      }
      throttle_.succeeded(request.user(), network);
      open_session(request, **found, done);
    });
  });
}

// `account` as the password was checked by: one that was changed meanwhile opens nothing.
void Accounts::open_session(const v1::LoginRequest& request, const port::Entry& account,
                            const Done<v1::LoginAnswer>& done) {
  const std::string token = new_token("gs_");
  const Milliseconds now_ms = now_().unix_ms;
  v1::Session session;
  session.mutable_meta()->set_id(make_id("session", rng_));
  *session.mutable_meta()->mutable_created_at() = TimeUtil::MillisecondsToTimestamp(now_ms);
  session.mutable_meta()->set_schema_version(1);
  session.set_user(request.user());
  session.set_by_cookie(request.cookie());
  session.set_token_hash(sha256_hex(token));
  *session.mutable_expires_at() = TimeUtil::MillisecondsToTimestamp(now_ms + kSessionIdleMs);
  *session.mutable_ends_at() = TimeUtil::MillisecondsToTimestamp(now_ms + kSessionMs);
  port::Txn txn;
  txn.compares.push_back({account.key, account.modified});
  txn.writes.push_back(
      {.key = model::record_key(model::kSession, session.token_hash()), .value = session.SerializeAsString()});
  store_.commit(std::move(txn), [this, token, session, done](const Result<bool>& committed) {
    if (!committed) return done(fail(committed.error()));
    if (!*committed) return done(fail(wrong_login()));
    v1::LoginAnswer answer;
    answer.set_token(token);
    *answer.mutable_expires_at() = session.expires_at();
    *answer.mutable_ends_at() = session.ends_at();
    done(answer);
    sweep_sessions();
  });
}

void Accounts::sweep_sessions() {
  store_.range(model::prefix_of(model::kSession), [this](const Result<port::Range>& range) {
    if (!range) return;
    port::Txn txn;
    for (const port::Entry& entry : range->entries) {
      v1::Session session;
      if (!session.ParseFromString(entry.value)) continue;
      const Milliseconds expires_ms = TimeUtil::TimestampToMilliseconds(session.expires_at());
      if (std::min(expires_ms, end_of(session)) > now_().unix_ms) continue;
      txn.compares.push_back({entry.key, entry.modified});
      txn.writes.push_back({.kind = port::Write::Kind::erase, .key = entry.key, .value = {}});
      if (txn.writes.size() == 100) break;
    }
    if (!txn.writes.empty()) store_.commit(std::move(txn), [](const Result<bool>&) {});
  });
}

void Accounts::logout(const Caller& caller, bool dry_run, const Done<MessagePtr>& done) {
  const std::string key = model::record_key(model::kSession, caller.token_hash);
  store_.get(key, [=, this](const Result<std::optional<port::Entry>>& found) {
    if (!found) return done(fail(found.error()));
    if (!*found) {
      return done(fail(ErrorCode::conflict, "there is no session to close",
                       "this call was not made with a session's token",
                       "API tokens are revoked by DELETE /api/v1/tokens/{id}"));
    }
    if (dry_run)
      return done(plan_answer({"close the session of user " + caller.user + " that this call is made with"}));
    port::Txn txn;
    txn.writes.push_back({.kind = port::Write::Kind::erase, .key = key, .value = {}});
    commit_and_answer(std::move(txn), {}, done);
  });
}

void Accounts::commit_and_answer(port::Txn txn, Error conflict, const Done<MessagePtr>& done) {
  store_.commit(std::move(txn), [conflict = std::move(conflict), done](const Result<bool>& committed) {
    if (!committed) return done(fail(committed.error()));
    if (!*committed) return done(fail(conflict));
    done(std::make_shared<v1::Empty>());
  });
}

Accounts::MessagePtr plan_answer(const std::vector<std::string>& steps) {
  auto answer = std::make_shared<v1::Accepted>();
  for (const std::string& step : steps) answer->mutable_plan()->add_steps(step);
  return answer;
}

}  // namespace gantry::server
